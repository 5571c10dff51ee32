"""k-means and Baum-Welch beside scikit-learn's and hmmlearn's: one run, the same data, the same start, one thread each.

Called by bench/against-python, which installs what is needed. Both sides are given CPU time, not time on the wall, since
other work may be running; the sides take turns, and medians are compared. What is timed is what a caller waits for:
from points in memory to centroids and labels (fit), from a sequence in memory to a trained model (fit).
"""

import argparse
import json
import logging
import math
import platform
import statistics
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import hmmlearn
import numpy as np
import sklearn
from hmmlearn.hmm import GaussianHMM
from sklearn.cluster import KMeans

warnings.filterwarnings("ignore")  # runs that stop at the most steps say so
logging.getLogger("hmmlearn").setLevel(logging.CRITICAL)


def timed(work):
    before = time.process_time()
    answer = work()
    return time.process_time() - before, answer


def rust(binary, *arguments):
    out = subprocess.run([str(binary), *map(str, arguments)], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def clouds(kind, count, dimensions, clusters):
    """"blobs": one Gaussian for each cluster, overlapping; "cloud": one Gaussian, nothing to find, many steps."""
    random = np.random.default_rng(1)
    points = random.standard_normal((count, dimensions))
    if kind == "blobs":
        centres = random.uniform(-4, 4, (clusters, dimensions))
        points += centres[random.integers(0, clusters, count)]
    points = points.astype(np.float32)
    return points, points[np.random.default_rng(2).choice(count, clusters, replace=False)]


def kmeans(binaries, folder, counts, runs, steps):
    rows, ratios = [], {}
    for kind in ("blobs", "cloud"):
        for count in counts:
            for dimensions in (8, 16):
                for clusters in (8, 16, 32):
                    points, start = clouds(kind, count, dimensions, clusters)
                    points.tofile(folder / "points")
                    start.tofile(folder / "start")
                    ours, portable, theirs = [], [], []
                    for _ in range(runs):
                        files = (folder / "points", folder / "start", dimensions)
                        ours.append(rust(binaries / "clustering", *files, f"steps={steps}"))
                        portable.append(rust(binaries / "clustering", *files, f"steps={steps}", "portable"))
                        model = KMeans(clusters, init=start, n_init=1, max_iter=steps)
                        theirs.append(timed(lambda: model.fit(points)))
                    fast, slow = (statistics.median(run["seconds"] for run in side) for side in (ours, portable))
                    python = statistics.median(seconds for seconds, _ in theirs)
                    fit = theirs[0][1]
                    inertia = ours[0]["inertia"] / fit.inertia_ - 1
                    assert portable[0]["inertia"] == ours[0]["inertia"], "portable and AVX2 must agree"
                    ratios[kind, count, dimensions, clusters] = (fast / python, slow / python, inertia)
                    print(f"| {kind} | {count:,} | {dimensions} | {clusters} | {ours[0]['steps']} / {fit.n_iter_} | {fast:.3f} | "
                          f"{slow:.3f} | {python:.3f} | {fast / python:.2f} | {slow / python:.2f} | {inertia:+.1e} |", flush=True)
    for name, side in (("AVX2", 0), ("portable", 1)):
        values = [ratio[side] for ratio in ratios.values()]
        mean = math.exp(statistics.fmean(map(math.log, values)))
        print(f"\nk-means, {name}: geometric mean {mean:.3f} of scikit-learn's CPU time, worst {max(values):.3f}; ", end="")
    inertias = [ratio[2] for ratio in ratios.values()]
    print(f"inertia from {min(inertias):+.1e} to {max(inertias):+.1e} of theirs (below 0: ours is lower)")


def sequence(steps, dimensions, states):
    random = np.random.default_rng(3)
    means = random.uniform(-3, 3, (states, dimensions))
    path = np.zeros(steps, int)
    stays, jumps = random.random(steps) < 0.95, random.integers(0, states, steps)
    for step in range(1, steps):
        path[step] = path[step - 1] if stays[step] else jumps[step]
    points = means[path] + random.standard_normal((steps, dimensions))
    moves = np.full((states, states), 0.2 / (states - 1))
    np.fill_diagonal(moves, 0.8)
    start = (np.full(states, 1 / states), moves, means + random.normal(0, 0.5, means.shape), np.full(means.shape, 2.0))
    return points, start


def markov(binaries, folder, length, runs, steps=10):
    ratios = []
    for states in (4, 8, 16):
        for dimensions in (2, 8):
            points, start = sequence(length, dimensions, states)
            points.tofile(folder / "sequence")
            np.concatenate([part.ravel() for part in start]).tofile(folder / "model")

            def hmm(implementation):
                # Without the priors on variances, so that both sides climb the same likelihood.
                model = GaussianHMM(states, "diag", n_iter=steps, tol=-math.inf, init_params="", params="stmc",
                                    implementation=implementation, covars_prior=0, covars_weight=1)
                model.startprob_, model.transmat_, model.means_, model.covars_ = start
                return timed(lambda: model.fit(points))

            ours, log, scaling = [], [], []
            for _ in range(runs):
                ours.append(rust(binaries / "hidden_markov", folder / "sequence", folder / "model", states, dimensions, steps))
                log.append(hmm("log"))
                scaling.append(hmm("scaling"))
            fast = statistics.median(run["seconds"] for run in ours)
            by_log, by_scaling = (statistics.median(seconds for seconds, _ in side) for side in (log, scaling))
            theirs = scaling[0][1].monitor_.history[-1]
            difference = ours[0]["log_likelihood"] / theirs - 1
            ratios.append((by_log / fast, by_scaling / fast, abs(difference)))
            print(f"| {states} | {dimensions} | {fast:.4f} | {by_log:.3f} | {by_scaling:.3f} | {by_log / fast:.1f} | "
                  f"{by_scaling / fast:.1f} | {difference:+.1e} |", flush=True)
    for name, side in (("log, its default", 0), ("scaling, its faster one", 1)):
        values = [ratio[side] for ratio in ratios]
        mean = math.exp(statistics.fmean(map(math.log, values)))
        print(f"\nBaum-Welch: {mean:.1f} times as fast as hmmlearn ({name}), at least {min(values):.1f}; ", end="")
    print(f"log likelihood within {max(ratio[2] for ratio in ratios):.1e}")


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binaries", type=Path, help="folder of our examples, built with --release")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side; medians are compared")
    parser.add_argument("--steps", type=int, default=300, help="most steps of k-means")
    parser.add_argument("--quick", action="store_true", help="100,000 points only")
    options = parser.parse_args()
    print(f"{processor()}; Python {platform.python_version()}, numpy {np.__version__}, scikit-learn {sklearn.__version__}, "
          f"hmmlearn {hmmlearn.__version__}; one thread each; CPU seconds, median of {options.runs} interleaved runs\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("| states | dimensions | ours | hmmlearn log | scaling | times log | times scaling | log likelihood |")
        print("|---|---|---|---|---|---|---|---|")
        markov(options.binaries, folder, 20_000, options.runs)
        print("\n| points | n | d | k | steps | ours | portable | scikit-learn | ratio | portable | inertia |")
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        kmeans(options.binaries, folder, [100_000] if options.quick else [100_000, 1_000_000], options.runs, options.steps)


if __name__ == "__main__":
    main()
