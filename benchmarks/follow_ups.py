"""Questions that lean on what was said: how often their document is among the first five, as they are, with the words
they lean on, and written out by the starter model. A third of them change the subject.

Run: python -m benchmarks.follow_ups
"""

import os
import tempfile
from pathlib import Path

from sartor.data.extract import read_documents
from sartor.data.records import Message
from sartor.models.starter import fetch
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.path import open_model
from sartor.retrieval.rewriting import ModelRewriting, last_words, with_key_terms
from sartor.retrieval.search import search
from sartor.retrieval.store import KnowledgeStore

LEANING = (
    ("When did Herve serve as a Byzantine general?", "In the 1050s.", "And who came after him?", "Normans-008"),
    ("Who wrote Reducibility Among Combinatorial Problems?", "Richard Karp, in 1972.",
     "How many problems did it address?", "Computational_complexity_theory-047"),
    ("What award was given to Corliss?", "The Rumford medal.", "How much less steam did his engine use?",
     "Steam_engine-039"),
    ("What was the centrifugal governor incapable of doing?", "Holding a set speed.",
     "What work was it not suitable for?", "Steam_engine-030"),
    ("What coalition rose against Louis XIV?", "The League of Augsburg.", "And who was his main rival?",
     "Huguenot-007"),
    ("Who established the settlement at St. Augustine?", "Pedro Menéndez de Avilés.", "What did he do to the French?",
     "Huguenot-027"),
    ("What instrument is used to examine steam engine performance?", "The steam engine indicator.",
     "Where was it shown?", "Steam_engine-012"),
    ("What French city was New Rochelle named after?", "La Rochelle.", "From whom did they purchase that land?",
     "Huguenot-038"),
    ("How many volumes are in the Harvard library system?", "18 million.",
     "Which ones are popular with undergraduates?", "Harvard_University-020"),
    ("When was the Battle of Hastings?", "In 1066.", "Who was killed there?", "Normans-016"),
    ("Who did Alexander I marry?", "Sybilla.", "Who was her father?", "Normans-020"),
    ("In what year did the Normans invade at Bannow Bay?", "In 1169.", "What culture did they combine with?",
     "Normans-018"),
    ("What is the duration of the academic year at Harvard?", "From early September to mid-May.",
     "And how many courses must they take?", "Harvard_University-018"),
    ("What treaty ended the Wars of Religion?", "The Edict of Nantes.", "What did this agreement grant?",
     "Huguenot-000"),
    ("Who made measurements on a model steam engine?", "Watt.", "Which concept had he discovered independently?",
     "Steam_engine-040"),
    ("How much capital did Danish law require to start a company?", "200,000 Danish krone.",
     "What did the Court of Justice say about it?", "European_Union_law-039"),
    ("When was the European Communities Act made?", "In 1972.", "What does their legitimacy rest on?",
     "European_Union_law-012"),
    ("What did Warner Sinback decide?", "That a data network could be profitable.", "Did it make money?",
     "Packet_switching-012"),
)  # fmt: skip
CHANGED = (
    ("Who did Alexander I marry?", "Sybilla.", "What was the highest price of oil during the 1979 oil crisis?",
     "1973_oil_crisis-023"),
    ("When was the Battle of Hastings?", "In 1066.", "Which sources of law does European Union law have?",
     "European_Union_law-000"),
    ("What award was given to Corliss?", "The Rumford medal.", "How was scarcity of oil managed in many countries?",
     "1973_oil_crisis-011"),
    ("What did Warner Sinback decide?", "That a data network could be profitable.",
     "Where is America's oldest collection of maps and atlases housed?", "Harvard_University-020"),
    ("How many courses must Harvard students take?", "Four.",
     "Which law protects this: is the graph isomorphism problem NP-complete?", "Computational_complexity_theory-036"),
    ("In what year did the Normans invade Ireland?", "In 1169.",
     "By which year did Chrysler end its full sized luxury model?", "1973_oil_crisis-022"),
    ("What treaty ended the Wars of Religion?", "The Edict of Nantes.",
     "Who are commonly associated with the best algorithm for graph isomorphism?",
     "Computational_complexity_theory-036"),
    ("Who wrote Reducibility Among Combinatorial Problems?", "Richard Karp.",
     "Which French competition law case had importers of Picon beer?", "European_Union_law-032"),
)  # fmt: skip


def main(data: Path) -> None:
    embedder = Embedder(fetch("minilm"))
    ways = {
        "as it is": last_words,
        "with words": with_key_terms,
        "by the starter": ModelRewriting(open_model("starter").generator),
    }
    with tempfile.TemporaryDirectory() as folder, KnowledgeStore(Path(folder) / "k.sqlite", create=True) as store:
        index_folder(store, read_documents(data / "tasks" / "encyclopedia" / "documents"), embedder)
        for kind, rows in (("leaning", LEANING), ("another subject", CHANGED)):
            for name, way in ways.items():
                queries = [
                    way(
                        [
                            Message(role="user", content=first),
                            Message(role="assistant", content=answer),
                            Message(role="user", content=question),
                        ]
                    )
                    for first, answer, question, _ in rows
                ]
                found = search(store, embedder, queries, 5)
                hits = [
                    any(passage.document_id.startswith(document) for passage in passages)
                    for passages, (*_, document) in zip(found, rows, strict=True)
                ]
                print(f"{kind}, {name}: {sum(hits)} of {len(rows)} in the first five")


if __name__ == "__main__":
    main(Path(os.environ.get("SARTOR_DATA", "../shared/data")))
