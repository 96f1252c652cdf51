"""What the paths are called in sentences for people, and what they are."""

from sartor.reporting.figures import visible

LABELS = {"prompt": "prompting", "api": "the remote API", "rag": "retrieval",
          "api+rag": "the remote API + retrieval", "long-context": "long context", "finetune": "fine-tuning",
          "finetune+rag": "retrieval + fine-tuning", "finetune+dpo": "fine-tuning + preferences",
          "closed-book": "closed-book", "oracle": "the oracle"}
DESCRIPTIONS = {
    "prompt": "the base model with an instruction and worked examples",
    "api": "a remote model with an instruction and worked examples",
    "api+rag": "the remote model reads passages found in the documents",
    "rag": "the base model reads passages found in the documents",
    "long-context": "the base model reads all documents with every question",
    "finetune": "the base model fine-tuned on the train rows",
    "finetune+rag": "the base model fine-tuned on train rows with passages, and reading passages",
    "finetune+dpo": "the base model fine-tuned on the train rows, then trained on preferences between answers",
    "closed-book": "for reference: what the retrieval path answers without any passage",
    "oracle": "for reference: what the retrieval path answers when it is given the passages that hold the answer",
}
PAIRS = "the preference pairs"  # as a place where a test question may stand


def label(name: str) -> str:
    """The path's name inside a sentence."""
    return visible(LABELS.get(name, name))


def title(name: str) -> str:
    """The label as a sentence starts; a name that people gave is never changed."""
    return LABELS[name][0].upper() + LABELS[name][1:] if name in LABELS else visible(name)
