"""Losses that learn from preferences without a reward model: DPO and its kin, for pairs and for single rated answers.

Each is a function of an answer's summed log-probability under the policy and, mostly, under the reference model.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

PreferenceLoss = Literal["sigmoid", "ipo", "hinge", "simpo", "orpo"]
WITHOUT_REFERENCE = ("simpo", "orpo")
SMALLEST_SURPRISE = 1e-7  # nats a token: the odds of an answer that is certain are infinite, and so is their slope


@dataclass(frozen=True)
class PairLogProbs:
    """log p(answer | prompt) of P pairs, summed over the answer's tokens, and how many tokens those were; all [P].

    The reference model's are None for losses without a reference.
    """

    chosen: Tensor
    rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor
    reference_chosen: Tensor | None = None
    reference_rejected: Tensor | None = None


@dataclass(frozen=True)
class PreferenceSettings:
    """Which loss, with which constants. ValueError for a constant that is out of range or that the loss does not read.

    loss: what is asked of the gap = score of the chosen answer - score of the rejected one.
        sigmoid  -log σ(β gap), scores log p - log p_ref               DPO, 2305.18290 equation 7
        ipo      (gap - 1 / 2β)², scores log p - log p_ref             IPO, 2310.12036 equation 17, whose τ is our β
        hinge    max(0, 1 - β gap), scores log p - log p_ref           SLiC, 2305.10425, with DPO's scores (2309.06657)
        simpo    -log σ(β gap - target_margin), scores log p a token   SimPO, 2405.14734 equation 6
        orpo     -β log σ(gap), scores log(p / (1 - p)) of p = exp(log p a token), plus the chosen answer's negative
                 log-likelihood                                        ORPO, 2403.07691 equation 6, whose λ is our β
    label_smoothing: the share of pairs assumed to be labelled the wrong way round (sigmoid: "conservative DPO"; simpo).
    target_margin: SimPO's γ as in the paper and in TRL, so in units of the reward β log p a token. The authors' code is
        given γ/β instead.
    length_normalised: divides log p - log p_ref by the answer's tokens (sigmoid, ipo, hinge). TRL always does so for
        ipo, on the authors' word, and calls it sigmoid_norm for sigmoid; the papers' equations have plain sums.
    supervised_weight: adds so much of the chosen answers' negative log-likelihood, in nats a token of each answer and
        then a mean over pairs, as RPO does (2404.19733). TRL takes the mean over all tokens of a micro-batch instead,
        which lets long answers weigh more; for orpo it counts the prompt's tokens too, we only the answer's. ORPO's
        own weight is 1 and cannot be set.
    """

    loss: PreferenceLoss = "sigmoid"
    beta: float = 0.1
    label_smoothing: float = 0.0
    target_margin: float = 0.5
    length_normalised: bool = False
    supervised_weight: float = 0.0

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ValueError(f"beta must be positive, not {self.beta}")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must be at least 0 and below 0.5, not {self.label_smoothing}")
        if not self.supervised_weight >= 0:
            raise ValueError(f"supervised_weight must not be negative, not {self.supervised_weight}")
        for name, readers in (
            ("label_smoothing", ("sigmoid", "simpo")),
            ("target_margin", ("simpo",)),
            ("length_normalised", ("sigmoid", "ipo", "hinge")),
            ("supervised_weight", ("sigmoid", "ipo", "hinge", "simpo")),
        ):
            if self.loss not in readers and getattr(self, name) != getattr(PreferenceSettings, name):
                raise ValueError(f"{name} has no effect on the loss {self.loss}, only on {', '.join(readers)}")

    @property
    def needs_reference(self) -> bool:
        return self.loss not in WITHOUT_REFERENCE

    @property
    def likelihood_weight(self) -> float:
        """What the chosen answer's negative log-likelihood counts in the loss."""
        return 1.0 if self.loss == "orpo" else self.supervised_weight


def preference_loss(
    pairs: PairLogProbs, num_pairs: int, settings: PreferenceSettings
) -> tuple[Tensor, dict[str, float]]:
    """The settings' loss summed over the micro-batch's pairs / `num_pairs`, the pairs of the whole accumulated step.

    -> (this micro-batch's share of the loss, metrics to be summed over the step): accuracy (the chosen answer has the
    higher implicit reward; a tie counts as half right) and margin of the implicit rewards, β · score, or for orpo the
    log-odds themselves; with a reference also chosen_change and rejected_change, log p - log p_ref in nats an answer;
    with a likelihood term also supervised_loss, unweighted. ValueError where a reference is needed and missing.
    """
    chosen_score, rejected_score = _scores(pairs, settings)
    gap = chosen_score - rejected_score
    losses = _gap_losses(gap, settings)
    shares = {
        "accuracy": (gap.sign() + 1) / 2,
        "margin": gap if settings.loss == "orpo" else settings.beta * gap,
    }
    if pairs.reference_chosen is not None and pairs.reference_rejected is not None:
        shares["chosen_change"] = pairs.chosen - pairs.reference_chosen
        shares["rejected_change"] = pairs.rejected - pairs.reference_rejected
    if settings.likelihood_weight > 0:
        shares["supervised_loss"] = -pairs.chosen / pairs.chosen_tokens
        losses = losses + settings.likelihood_weight * shares["supervised_loss"]
    loss = losses.sum() / num_pairs
    sums = {name: float(values.detach().sum()) / num_pairs for name, values in shares.items()}
    return loss, {"loss": float(loss.detach()), **sums}


def _scores(pairs: PairLogProbs, settings: PreferenceSettings) -> tuple[Tensor, Tensor]:
    """What the loss compares: [P] of the chosen and [P] of the rejected answers."""
    if settings.needs_reference:
        if pairs.reference_chosen is None or pairs.reference_rejected is None:
            raise ValueError(f"the loss {settings.loss} needs the reference model's log-probabilities")
        chosen, rejected = pairs.chosen - pairs.reference_chosen, pairs.rejected - pairs.reference_rejected
    else:
        chosen, rejected = pairs.chosen, pairs.rejected
    if settings.length_normalised or not settings.needs_reference:
        chosen, rejected = chosen / pairs.chosen_tokens, rejected / pairs.rejected_tokens
    return (_log_odds(chosen), _log_odds(rejected)) if settings.loss == "orpo" else (chosen, rejected)


def _log_odds(log_prob: Tensor) -> Tensor:
    """log(p / (1 - p)) of log p < 0."""
    below = log_prob.clamp(max=-SMALLEST_SURPRISE)
    return below - torch.log(-torch.expm1(below))


def _gap_losses(gap: Tensor, settings: PreferenceSettings) -> Tensor:
    """[P] differences of scores -> [P] losses."""
    if settings.loss == "hinge":
        return functional.relu(1 - settings.beta * gap)
    if settings.loss == "ipo":
        return (gap - 1 / (2 * settings.beta)).square()
    if settings.loss == "orpo":
        return -settings.beta * functional.logsigmoid(gap)
    lead = settings.beta * gap - (settings.target_margin if settings.loss == "simpo" else 0.0)
    losses = -functional.logsigmoid(lead)
    if settings.label_smoothing == 0.0:
        return losses
    swapped = -functional.logsigmoid(-lead)
    return (1 - settings.label_smoothing) * losses + settings.label_smoothing * swapped


def kto_loss(
    log_probs: Tensor,
    reference_log_probs: Tensor,
    desirable: Tensor,
    divergence: float,
    num_rows: int,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> tuple[Tensor, dict[str, float]]:
    """KTO for answers that were rated good or bad one by one (2402.01306): Σ weight · (1 - σ(±β (log p -
    log p_ref - divergence))) / `num_rows`, with + for desirable answers; `num_rows` is of the whole accumulated step.

    log_probs, reference_log_probs [R], summed over each answer; desirable [R] bool; divergence from `kto_divergence`.
    -> (this micro-batch's share of the loss, metrics to be summed over the step). `accuracy` is the share of answers
    on the right side of the divergence; one that is exactly there counts as half right.
    """
    gain = log_probs - reference_log_probs - divergence
    gain = torch.where(desirable, gain, -gain)
    weights = torch.where(desirable, desirable_weight, undesirable_weight).to(gain.dtype)
    loss = (weights * torch.sigmoid(-beta * gain)).sum() / num_rows
    accuracy = float(((gain.detach().sign() + 1) / 2).sum()) / num_rows
    return loss, {"loss": float(loss.detach()), "accuracy": accuracy}


def kto_divergence(log_probs: Tensor, reference_log_probs: Tensor) -> float:
    """KTO's estimate of KL(policy ‖ reference), in nats an answer, not below 0: the mean of log p - log p_ref over
    answers [R], each scored under another prompt than its own. Nothing is differentiated through it.
    ValueError without an answer."""
    if len(log_probs) == 0:
        raise ValueError("the divergence of no answers")
    return max(0.0, float((log_probs.detach() - reference_log_probs.detach()).mean()))
