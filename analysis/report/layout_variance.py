"""The tables of the variance section: which columns are shown, under which headings."""

from finebench.analysis.report.contents import Contents
from finebench.analysis.tables.columns import REMARKS, WHERE, columns
from finebench.analysis.tables.table import Table

PLACE = WHERE[:-1]
COUPLE = (*PLACE, *columns("a", "b"))
ENDS = columns("low|score|95 % from", "high|score|95 % to")
ACROSS = columns("fraction|percent", "budget_label|text|budget", "tasks|count", "seeds|count")


def _pairs(contents: Contents) -> Table:
    note = (
        "Exploratory: every couple, whatever the study set out to test; where a claim is about the same "
        "difference, its verdict is the one that counts. a less b by common seed and common example, each at its "
        "chosen configuration. P(a > b) on one seed, with the exact binomial interval: significant where its p is "
        "below 0.05 after Holm's correction over the couples of this table, meaningful where its interval then "
        "reaches above 0.75 (Bouthillier et al., 2021). p, of no difference, is corrected over the same couples. "
        "Fewer than 6 pairs give neither. Order: below 0.5 the method that is ahead is almost stochastically larger; "
        "from 10 seeds on. "
        "Where the same seeds chose a configuration and scored it, the difference's interval and p repeat the choice; "
        "P(a > b) and the order are given the chosen configurations."
    )
    shown = columns("difference|score|a − b") + ENDS + columns("pairs|count", "superiority|number|P(a > b)")
    shown += columns("superiority_low|number|95 % from", "superiority_high|number|95 % to", "verdict|prose")
    shown += columns("superiority_p_holm|p|p of P(a > b), after Holm", "p|p|p of a − b", "p_holm|p|p after Holm")
    shown += columns("order_bound|number|order", "order_note|prose|of")
    shown += columns("interval|prose", *("why|prose|remarks",))
    return Table(
        "pairs",
        "Method against method (exploratory)",
        note,
        contents.frames["pairs"],
        (*COUPLE, *shown),
        section="variance",
        figures=("pair-differences", "forest", "superiority"),
    )


def _aggregates(contents: Contents) -> Table:
    note = (
        "Interquartile mean of normalised scores over the tasks and seeds that every method has (n beside it), where "
        "the reference's gain is known: per task 0 is the constant predictor and 1 the reference named in scale. "
        "Intervals resample seeds within each task, widened for their small number, and speak of these tasks alone; on "
        "two tasks, one of them noisier, they cover as little as 85 %."
    )
    shown = columns("method", "iqm|score|IQM") + ENDS + columns("scale|prose") + REMARKS
    return Table(
        "aggregates",
        "Over all tasks",
        note,
        contents.frames["aggregates"],
        (*ACROSS, *shown),
        section="variance",
        figures=("aggregates", "profiles", "ranks"),
    )


def _improvements(contents: Contents) -> Table:
    note = (
        "Probability that a run of a scores above one of b on a task drawn at random, ties counting half; seeds are "
        "not paired here. Intervals are Newcombe's, with t quantiles: what the runs do not contradict, on these tasks."
    )
    shown = columns("a", "b", "probability|number|P(a > b)", "low|number|95 % from", "high|number|95 % to")
    return Table(
        "improvements",
        "Probability of improvement",
        note,
        contents.frames["improvements"],
        (*ACROSS, *shown, *REMARKS),
        section="variance",
        folded=True,
    )


def _profiles(contents: Contents) -> Table:
    note = (
        "The share of runs, over all common tasks, whose normalised score is above a level; bands are the percentiles "
        "of resampled seeds, too narrow for few."
    )
    shown = columns("method", "level|number", "share|percent", "low|percent|95 % from", "high|percent|95 % to")
    return Table(
        "profiles",
        "Performance profiles",
        note,
        contents.frames["profiles"],
        (*ACROSS, *shown),
        section="variance",
        folded=True,
    )


def _ranks(contents: Contents) -> Table:
    note = (
        "Mean ranks over tasks (Demšar, 2006). Two that lie less than the critical difference apart share a letter "
        "and are not told apart."
    )
    shown = columns("method", "rank|number|mean rank", "difference|number|critical difference", "group", "p|p")
    return Table(
        "ranks",
        "Ranks over tasks",
        note,
        contents.frames["ranks"],
        (*ACROSS, *shown, *REMARKS),
        section="variance",
        folded=True,
    )


def _power(contents: Contents) -> Table:
    note = (
        "Seeds with which a true difference of 0 would be found to lie within ±margin, with a chance of 80 %, and "
        "the 80 % interval of that number: it rests on a variance that few seeds show only roughly. The "
        "margin is a claim's own, or 0.01 where no claim names the pair, never what was observed. What the examples "
        "add does not shrink with seeds."
    )
    shown = columns("margin|number", "margin_from|prose|margin from", "pairs|count", "sd_seeds|score|sd over seeds")
    shown += columns("sd_examples|score|sd over examples", "needed|count|seeds needed")
    shown += columns("needed_low|count|80 % from", "needed_high|count|80 % to")
    shown += columns("more_examples|number|examples ×", "settles|prose|what it takes")
    return Table("power", "What would settle it", note, contents.frames["power"], (*COUPLE, *shown), section="variance")


def _shares(contents: Contents) -> Table:
    note = (
        "Variance components of the factors that the study varied, as standard deviations and as shares of the "
        "total, with 95 % intervals. A grid's configurations and the methods are taken as draws. An estimate below 0 "
        "is given as 0."
    )
    shown = columns("scope", "method", "source|prose", "sd|score", "share|percent", "share_low|percent|95 % from")
    shown += columns("share_high|percent|95 % to", "df|count|degrees of freedom", "negative|flag|below 0")
    shown += columns("levels|prose", "runs|count")
    frame = contents.frames["variance_shares"]
    return Table(
        "variance_shares",
        "What the variance is made of",
        note,
        frame,
        (*PLACE, *shown, *REMARKS),
        section="variance",
        figures=("variance-shares",),
    )


def _stability(contents: Contents) -> Table:
    note = (
        "How far two seeds of one configuration agree example by example. Classes: the share predicted differently; "
        "the share on which all seeds agree; of one seed's errors the share that another makes too. Numbers: root "
        "mean squared difference over the labels' standard deviation; the share within a tenth of that of each "
        "other."
    )
    shown = columns("kind", "n|count|seeds", "examples|count", "disagreement|number", "disagreement_min|number|least")
    shown += columns("disagreement_max|number|most", "unanimous|percent|all agree", "both_wrong|percent|shared errors")
    return Table(
        "stability",
        "Stability of predictions",
        note,
        contents.frames["stability"],
        (*WHERE, *shown),
        section="variance",
        figures=("disagreement",),
    )


def _robustness(contents: Contents) -> Table:
    note = (
        "The same runs summed up otherwise: without the collapsed ones (the sensitivity analysis), by the median, and "
        "by the mean of the middle half (IQM). The share of collapsed runs has its exact binomial interval."
    )
    shown = columns("score|score", "left_out|count|left out", "without|score|score without them")
    shown += columns("without_low|score|95 % from", "without_high|score|95 % to", "change|score")
    shown += columns("median|score", "iqm|score|IQM", "min|score", "max|score", "n|count|seeds")
    shown += columns("collapsed_share|percent|collapsed", "collapsed_low|percent|95 % from")
    shown += columns("collapsed_high|percent|95 % to")
    return Table(
        "robustness",
        "Scores without collapsed runs",
        note,
        contents.frames["robustness"],
        (*WHERE, *shown),
        section="variance",
    )


def _plateau(contents: Contents) -> Table:
    note = (
        "The best learning rate is the one that select prefers; the plateau is of its neighbours that score no more "
        "than one standard error below it. Regret is what the default loses against the tuned configuration."
    )
    shown = columns("best_lr|lr|best lr", "best|score", "se|score|standard error", "lr_low|lr|plateau from")
    shown += columns("lr_high|lr|to", "factor|number|factor", "decades|number", "open|flag|reaches the end")
    shown += columns("tried|count", "drop|score|best − worst", "regret|score")
    return Table(
        "lr_tolerance",
        "Learning-rate tolerance",
        note,
        contents.frames["lr_tolerance"],
        (*WHERE, *shown, *REMARKS),
        section="tuning",
    )


def _best_of(contents: Contents) -> Table:
    note = (
        "Expected score of the best of n tries by their select score (Tang et al., 2020), unbiased; of random "
        "searches only. It has no interval: those known for a maximum cover too little."
    )
    shown = columns("tries|count", "expected|score", "train_seconds|seconds|train time", "train_flops|flops|FLOPs")
    return Table(
        "best_of",
        "Expected best of n",
        note,
        contents.frames["best_of"],
        (*WHERE, *shown, *REMARKS),
        section="tuning",
        figures=("best-of", "best-of-seconds"),
        folded=True,
    )


def _fairness(contents: Contents) -> Table:
    note = (
        "Each method as it comes, tuned, and at the number of tries k that the least tuned method of its cell was "
        "given, beside what was spent on choosing. Reused: the seeds that chose also scored. Edge: the chosen "
        "learning rate is the end of what was tried, and the best may lie beyond."
    )
    shown = columns("default|score", "default_low|score|95 % from", "default_high|score|95 % to", "tuned|score") + ENDS
    shown += columns("gain|score", "gain_low|score|95 % from", "gain_high|score|95 % to", "best_of_k|score|best of k")
    shown += columns("k|count", "configurations|count", "trials|count", "train_seconds|seconds|train time", "lr|lr")
    shown += columns("edge", "reused|flag", "default_note|prose|on the default", "best_of_note|prose|on best of k")
    return Table(
        "equal_budget",
        "Equal-budget comparison",
        note,
        contents.frames["equal_budget"],
        (*WHERE, *shown),
        section="tuning",
    )
