"""The published tables: every column's type and meaning, versioned; the data dictionary is made from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 1

Kind = Literal["text", "integer", "number", "boolean", "timestamp"]


@dataclass(frozen=True)
class Field:
    """One column: its type, and what it means with its unit."""

    kind: Kind
    meaning: str


_PROVENANCE = {
    "schema_version": Field("integer", "Version of this table's schema."),
    "run_id": Field("text", "The run that computed the row; one scorecard has one run id."),
    "computed_at": Field("timestamp", "When the row was computed (UTC)."),
    "experiment": Field("text", "Experiment id."),
    "spec_hash": Field("text", "SHA-256 of the sealed spec that the row was computed under."),
    "as_of": Field("text", "Last day of event time that counts (YYYY-MM-DD); empty when the data has no time."),
    "look": Field("integer", "Number of the look in the ledger; 0 for an interim reading that spends nothing."),
    "final": Field("boolean", "Whether this is the final look."),
    "label": Field("text", "promised, retrospective, exploratory, amended, reanalysis, local: comma-separated."),
}

READ_OUT: Mapping[str, Field] = {
    "bayes_method": Field(
        "text",
        "gaussian (normal effect) or beta_binomial (proportions, exactly); empty where nothing is read out, as between "
        "looks and in the levels of segments.",
    ),
    "bayes_prior": Field("text", "flat, or the declared normal prior of the effect."),
    "posterior_mean": Field("number", "Bayesian: mean of the effect given the data, in the unit of effect."),
    "posterior_low": Field("number", "Bayesian: lower end of the equal-tailed credible interval at ci_level."),
    "posterior_high": Field("number", "Bayesian: its upper end."),
    "chance_to_win": Field("number", "Bayesian: probability that the arm is better, in the metric's direction."),
    "expected_loss": Field(
        "number",
        "Bayesian: expected loss of shipping the arm, in the unit of effect: the harm where it is worse, averaged "
        "over all that is believed of the effect.",
    ),
    "bayes_reason": Field("text", "That the read-out is not protected against peeking; or why there is none."),
}

RESULTS: Mapping[str, Field] = {
    **_PROVENANCE,
    "population": Field("text", "enrolled (everyone exposed) or triggered (those who reached the entry point)."),
    "metric": Field("text", "Metric name."),
    "metric_type": Field("text", "mean, proportion, ratio, revenue, count, retention or quantile."),
    "role": Field("text", "primary, secondary, guardrail or exploratory."),
    "direction": Field("text", "increase or decrease: which way is good."),
    "segment": Field("text", "Name of the segment dimension; empty for everybody."),
    "segment_value": Field("text", "Level of the segment; empty for everybody."),
    "arm": Field("text", "Arm, declared contrast or effect of factors that is compared with the baseline."),
    "baseline": Field("text", "Arm (or pooled arms, joined by +) it is compared with; of an effect, the first level."),
    "estimator": Field("text", "welch, ratio, cuped, score, capped, log, clustered: how the row was estimated."),
    "decisive": Field("boolean", "Whether the decision reads this row (one estimator per metric, arm and segment)."),
    "status": Field("text", "ok, degenerate, insufficient_data, invalid_data, immature, blocked, failed, not_due …"),
    "reason": Field("text", "Why the status is what it is, or a caution; empty when there is nothing to say."),
    "n_arm": Field("integer", "Units of the arm that count for the metric."),
    "n_baseline": Field("integer", "Units of the baseline that count for the metric."),
    "mature_share": Field("number", "Share of the population whose window has passed (1 when not required)."),
    "mean_arm": Field("number", "Mean (proportion, ratio) of the arm, adjusted where the estimator adjusts."),
    "mean_baseline": Field("number", "The same of the baseline."),
    "variance_arm": Field("number", "Per-unit variance of the estimator in the arm."),
    "variance_baseline": Field("number", "The same of the baseline."),
    "effect": Field("number", "Absolute effect: mean_arm - mean_baseline, in the metric's unit."),
    "se": Field("number", "Standard error of the effect."),
    "df": Field("number", "Degrees of freedom (Welch-Satterthwaite)."),
    "unbiased_effect": Field("number", "After a sequential test has stopped: the median-unbiased effect of its stop."),
    "unbiased_lift": Field("number", "The same as a lift."),
    "ci_level": Field("number", "Level of the intervals, such as 0.95."),
    "ci_low": Field("number", "Lower end of the interval of the effect."),
    "ci_high": Field("number", "Upper end of the interval of the effect."),
    "interval_kind": Field(
        "text",
        "confidence (one look), repeated (a look of several), stagewise (after a sequential test has stopped), "
        "always_valid, or sequence (a band between looks that holds at all of them).",
    ),
    "p_value": Field("number", "Two-sided p-value; empty until a test has ended, and where undefined."),
    "p_adjusted": Field(
        "number", "p-value of the row's own test (of a difference, or of equivalence), adjusted within its family."
    ),
    "family": Field("text", "The family it was adjusted in, with its method: primary:holm, secondary:fdr_bh …"),
    "family_size": Field("integer", "Number of hypotheses in the family."),
    "ci_adjusted_low": Field("number", "Lower end of the simultaneous interval of the family."),
    "ci_adjusted_high": Field("number", "Upper end of the simultaneous interval of the family."),
    "significant": Field("boolean", "A difference was shown, in its family or at a look; empty where none was tested."),
    "information": Field("number", "Sequential: share of the planned information at this look."),
    "alpha_spent": Field("number", "Sequential: error rate spent up to this look."),
    "boundary": Field("number", "Sequential: the z at which this look stops."),
    "statistic": Field("number", "Sequential: the z observed."),
    "stopped_look": Field("integer", "Sequential: number of the look, among those that claim, that crossed."),
    "harmed": Field("boolean", "A significant deterioration: one-sided, at the arm's 1 % shared over what is tested."),
    "futile": Field("boolean", "Sequential: the planned effect has become improbable; stopping is advised, not asked."),
    "lift": Field("number", "Relative effect: effect / |mean_baseline|, a fraction."),
    "lift_low": Field("number", "Lower end of Fieller's interval of the lift."),
    "lift_high": Field("number", "Upper end of Fieller's interval of the lift."),
    "lift_status": Field("text", "ok, unbounded or undefined_relative."),
    "lift_reason": Field("text", "Why the lift has no bounded interval, and what the set of lifts leaves out."),
    "cuped_applied": Field("boolean", "Whether covariates adjusted the estimate."),
    "variance_reduction": Field("number", "Share of variance removed by covariates."),
    "theta": Field("text", "Covariate slopes as JSON: name to number."),
    "cap_value": Field("number", "Value that per-unit values were capped at."),
    "capped_share": Field("number", "Share of units above the cap."),
    "margin": Field("number", "Harm tolerated, or of equivalence the change that counts as none; positive."),
    "margin_relative": Field("boolean", "Whether the margin is a share of the baseline mean."),
    "margin_kind": Field(
        "text", "non_inferiority (of a guardrail) or equivalence (neither a fall nor a rise beyond the margin)."
    ),
    "margin_bound": Field(
        "number",
        "One-sided confidence bound on the harmful side; of equivalence the end farther from 0 of the interval at "
        "1 - 2 alpha. On the margin's scale.",
    ),
    "margin_p_value": Field("number", "One-sided p-value of the margin's test; of equivalence the larger of two."),
    "margin_holds": Field("boolean", "Harm (of equivalence: any change) beyond the margin is excluded."),
    "alpha": Field("number", "Significance level of the decision this row enters."),
    "power": Field("number", "Power at the planned effect with the observed n and variance; never post-hoc."),
    "mde": Field("number", "Smallest absolute effect detectable with the observed n and variance at planned power."),
    **READ_OUT,
}

HEALTH: Mapping[str, Field] = {
    **_PROVENANCE,
    "check": Field("text", "srm, srm_segment, srm_day, leak, undeclared_arm, null_arm, multi_arm, balance, …"),
    "scope": Field("text", "What was checked: all, triggered, platform=ios, 2026-01-05 …"),
    "verdict": Field("text", "passed, warned, failed or not_testable."),
    "blocking": Field("boolean", "Whether a failure withholds the estimates."),
    "statistic": Field("number", "Test statistic or count."),
    "p_value": Field("number", "p-value where the check is a test."),
    "e_value": Field("number", "Sequential e-value where the check runs on a schedule."),
    "threshold": Field("number", "What the statistic, p-value or e-value is held against."),
    "observed": Field("text", "Observed numbers by arm, as JSON."),
    "expected": Field("text", "Expected numbers by arm, as JSON."),
    "message": Field("text", "The finding as a sentence."),
    "hint": Field("text", "Likely causes and where to look."),
}

HETEROGENEITY: Mapping[str, Field] = {
    **_PROVENANCE,
    "kind": Field(
        "text",
        "cochran_q (do the levels of a segment differ), largest_smallest (the largest effect of a segment against the "
        "smallest), scan (a level against everybody else), novelty_slope (change of the effect a day since exposure), "
        "novelty_early_late (later half of the days less the earlier), novelty_curved (does a line suffice), "
        "novelty_day (the effect on one day).",
    ),
    "population": Field("text", "enrolled or triggered: the population that decisions read."),
    "metric": Field("text", "Metric name: the primary metrics and the guardrails."),
    "role": Field("text", "primary or guardrail."),
    "direction": Field("text", "increase or decrease: which way is good."),
    "arm": Field("text", "Arm, declared contrast or effect of factors that is compared with the baseline."),
    "baseline": Field("text", "Arm (or pooled arms, joined by +) it is compared with; of an effect, the first level."),
    "segment": Field("text", "Name of the segment dimension; empty for novelty."),
    "segment_value": Field("text", "Level whose effect is tested; empty where all levels are."),
    "against": Field("text", "Level it is held against, (rest) for everybody else; empty where all levels are."),
    "day": Field("integer", "Novelty: whole days since exposure, from 0."),
    "status": Field("text", "ok, not_testable, degenerate, insufficient_data, not_due, blocked …"),
    "reason": Field("text", "Why the status is what it is, or a caution; empty when there is nothing to say."),
    "estimator": Field("text", "How the effects were estimated, as in results."),
    "n_arm": Field("integer", "Units of the arm behind effect."),
    "n_baseline": Field("integer", "Units of the baseline behind effect."),
    "effect": Field("number", "Absolute effect in the level, or on the day; of cochran_q the effect common to all."),
    "effect_against": Field("number", "Absolute effect in what it is held against."),
    "difference": Field(
        "number", "effect - effect_against; of novelty the slope a day, or the later half less the earlier."
    ),
    "se": Field("number", "Standard error of the difference; of the effect where there is no difference."),
    "df": Field("number", "Degrees of freedom."),
    "ci_level": Field("number", "Level of the interval."),
    "ci_low": Field("number", "Lower end of the interval of the difference; of the effect where there is none."),
    "ci_high": Field("number", "Its upper end."),
    "statistic": Field("number", "Cochran's Q."),
    "i_squared": Field("number", "Cochran's Q: share of the variation between levels beyond chance, 0 to 1."),
    "p_value": Field("number", "p-value of the test by itself."),
    "p_adjusted": Field(
        "number", "p-value adjusted within its family; of largest_smallest for the pairs it was chosen from, too."
    ),
    "family": Field("text", "The family it was adjusted in, over all deciding metrics, with its method: scan:fdr_bh …"),
    "family_size": Field("integer", "Number of hypotheses in the family."),
    "differs": Field("boolean", "p_adjusted <= alpha; empty where nothing was tested."),
    "alpha": Field("number", "Level of the test."),
}

DECISIONS: Mapping[str, Field] = {
    **_PROVENANCE,
    "arm": Field("text", "Treatment arm, or main effect of a factor, that the recommendation is about."),
    "verdict": Field("text", "ship, do_not_ship, running, extend, rerun, not_decidable or not_due."),
    "rule": Field("text", "The rule that was evaluated."),
    "reasons": Field("text", "Each condition that held or failed, as a JSON list of {holds, sentence}."),
    "nearest_change": Field("text", "The least change of margins or effects that would have led to another verdict."),
    "human_decision": Field("text", "What people decided, from the ledger; empty while open."),
    "human_reason": Field("text", "Their reason."),
}

EXPERIMENTS: Mapping[str, Field] = {
    **_PROVENANCE,
    "title": Field("text", "Title."),
    "hypothesis": Field("text", "Hypothesis."),
    "owner": Field("text", "Owner."),
    "tags": Field("text", "Tags, comma-separated."),
    "state": Field("text", "Lifecycle state: CREATED … REPORTED."),
    "start": Field("text", "Planned start."),
    "end": Field("text", "Planned end (first moment not analysed)."),
    "control": Field("text", "Control arm."),
    "arms": Field("text", "Arms and designed shares, as JSON."),
    "units": Field("integer", "Units in the analysis population."),
    "health": Field("text", "passed, warned or failed."),
    "verdicts": Field("text", "Verdict by arm, as JSON."),
    "registered_at": Field("text", "When the spec was registered."),
    "ledger_head": Field("text", "Digest of the ledger's head when the row was computed."),
}

INTERACTIONS: Mapping[str, Field] = {
    "kind": Field("text", "independence (of the two assignments) or interaction (of two treatments on a metric)."),
    "first": Field("text", "Id of the first experiment, whose effect is compared."),
    "second": Field("text", "Id of the second, between whose arms it is compared."),
    "first_as_of": Field("text", "Last day that counts in the first; empty when the data has no time."),
    "second_as_of": Field("text", "The same of the second."),
    "metric": Field("text", "Metric name; empty for independence."),
    "direction": Field("text", "increase or decrease: which way is good."),
    "first_arm": Field("text", "Treatment of the first experiment."),
    "first_control": Field("text", "Its control."),
    "second_arm": Field("text", "Treatment of the second experiment."),
    "second_control": Field("text", "Its control."),
    "status": Field("text", "ok, not_testable, insufficient_data, degenerate, blocked …"),
    "reason": Field("text", "Why the status is what it is, or a caution; empty when there is nothing to say."),
    "units": Field("integer", "Units in both experiments; for an interaction those of its four cells that count."),
    "estimator": Field("text", "How the effects were estimated, as in results."),
    "effect_in_control": Field("number", "Effect of the first treatment among units in the second's control."),
    "effect_in_arm": Field("number", "The same among units in the second's treatment."),
    "difference": Field("number", "effect_in_arm - effect_in_control: what both do beyond the sum of each."),
    "se": Field("number", "Standard error of the difference."),
    "df": Field("number", "Degrees of freedom (Satterthwaite over four cells); of independence those of chi-square."),
    "ci_level": Field("number", "Level of the interval."),
    "ci_low": Field("number", "Lower end of the interval of the difference."),
    "ci_high": Field("number", "Its upper end."),
    "interval_kind": Field(
        "text", "confidence once both have ended; before, sequence: a band that holds at all looks."
    ),
    "statistic": Field("number", "Chi-square of independence."),
    "strength": Field("number", "Cramér's V of independence, 0 to 1."),
    "counts": Field("text", "Units by both arms as JSON, of independence."),
    "p_value": Field("number", "p-value; of an interaction once both experiments have ended."),
    "p_adjusted": Field("number", "p-value of an interaction adjusted over all of them by Benjamini-Hochberg."),
    "family_size": Field("integer", "Interactions tested."),
    "significant": Field("boolean", "Interaction: p_adjusted <= alpha. Independence: p_value < 0.001, it is violated."),
}
"""What ``xp interactions`` prints; it is not kept."""

TABLES: Mapping[str, Mapping[str, Field]] = {
    "results": RESULTS,
    "results_reanalysed": RESULTS,
    "health": HEALTH,
    "decisions": DECISIONS,
    "heterogeneity": HETEROGENEITY,
    "experiments": EXPERIMENTS,
}
