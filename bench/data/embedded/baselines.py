"""What word counts can do: the constant predictor, and TF-IDF with a linear model, given a fair chance.

Words and bigrams are counted with function words and punctuation kept. For pairs the linear model sees both sentences,
their difference, their product, the cosine of the two, the overlap of their word and bigram sets and their lengths.
The regularisation is chosen on a held-out part of train.
"""

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from scipy.stats import pearsonr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from finebench.bench.data.embedded import load_split

Columns = dict[str, list[Any]]
METRICS: dict[str, tuple[str, ...]] = {
    "mini-cola": ("MCC",),
    "mini-mrpc": ("accuracy", "F1"),
    "mini-stsb": ("Pearson",),
}
HELD_OUT = 0.15
STRENGTHS = (0.1, 1.0, 10.0, 100.0)


def scores(task: str, labels: Any, predicted: Any) -> dict[str, float]:
    """Return the task's metrics, the main one first; a correlation of constants is 0."""
    y, p = np.asarray(labels), np.asarray(predicted)
    if task == "mini-cola":
        return {"MCC": float(matthews_corrcoef(y, p))}
    if task == "mini-mrpc":
        return {"accuracy": float(accuracy_score(y, p)), "F1": float(f1_score(y, p))}
    return {"Pearson": 0.0 if np.ptp(p) == 0 else float(pearsonr(y, p).statistic)}


def constant(task: str) -> dict[str, float]:
    """Return the scores on validation of the majority class or the mean of train."""
    train, validation = load_split(task, "train")["label"], load_split(task, "validation")["label"]
    guess = np.mean(train) if task == "mini-stsb" else float(np.mean(train) > 0.5)
    return scores(task, validation, np.full(len(validation), guess))


def word_counts(task: str) -> dict[str, float]:
    """Return the scores on validation of TF-IDF with a logistic (or ridge) regression fitted on train."""
    train, validation = load_split(task, "train"), load_split(task, "validation")
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
    vectorizer.fit([text for name in texts_of(train) for text in train[name]])
    x, y = features(vectorizer, train), np.asarray(train["label"])
    cut = int(len(y) * (1 - HELD_OUT))
    tried = [(_main(task, y[cut:], linear(task, c, x[:cut], y[:cut]).predict(x[cut:])), c) for c in STRENGTHS]
    best = linear(task, max(tried)[1], x, y)
    return scores(task, validation["label"], best.predict(features(vectorizer, validation)))


def texts_of(columns: Columns) -> list[str]:
    """Return the names of the text columns."""
    return [name for name in columns if name.startswith("sentence")]


def linear(task: str, strength: float, x: csr_matrix, y: Any) -> Any:
    """Fit a ridge regression (mini-stsb) or a logistic regression; a larger `strength` regularises less."""
    model = Ridge(1 / strength) if task == "mini-stsb" else LogisticRegression(C=strength, max_iter=3000)
    return model.fit(x, y)


def features(vectorizer: TfidfVectorizer, columns: Columns) -> csr_matrix:
    """Return the feature matrix [rows, features] of one text, or of a pair and its comparison."""
    matrices = [vectorizer.transform(columns[name]) for name in texts_of(columns)]
    if len(matrices) == 1:
        return csr_matrix(matrices[0])
    a, b = matrices
    cosine = np.asarray(a.multiply(b).sum(axis=1))
    shared = np.asarray(a.sign().multiply(b.sign()).sum(axis=1))
    size_a, size_b = np.asarray(a.sign().sum(axis=1)), np.asarray(b.sign().sum(axis=1))
    dense = np.hstack(
        [cosine, shared / (size_a + size_b - shared), abs(size_a - size_b) / 10, size_a / 20, size_b / 20]
    )
    return csr_matrix(hstack([a, b, abs(a - b), a.multiply(b), csr_matrix(dense)]))


def _main(task: str, y: Any, predicted: Any) -> float:
    return next(iter(scores(task, y, predicted).values()))
