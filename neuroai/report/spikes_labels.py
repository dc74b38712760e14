"""The part of a spike report that says what can be decoded from how many labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuroai.plotting.confusion import confusion_matrix
from neuroai.plotting.decoding import decoded_positions, label_curves
from neuroai.plotting.style import to_svg
from neuroai.report.page import Figure, Section, Table
from neuroai.report.spikes_content import Decoded, FewLabels

__all__ = ["labels_section"]

_CURVE = (
    "{measure} on {n} test windows by the share of the training windows whose {name} was known. Lines: all "
    "draws of labelled windows together; bars: 95 % of resampled draws and blocks of test windows; dots: "
    "single draws."
)


def labels_section(found: Sequence[FewLabels], decoded: Sequence[Decoded]) -> Section:
    """Curves and tables of each behaviour; positions in the plane, or a confusion matrix."""
    figures: list[Figure] = []
    tables = []
    traces = {one.name: one for one in decoded}
    for place, few in enumerate(found):
        figures.append(Figure(f"labels-{place}", _curves(few), _told(few), wide=True))
        if few.confusion is not None:
            drawn = confusion_matrix(few.confusion, few.classes, title=few.name)
            told = (
                "Test windows by what was shown and what the frozen model said, from all labels, first draw."
            )
            figures.append(Figure(f"confusion-{place}", _svg(drawn), told))
        elif traces[few.name].true.shape[1] == 2:
            one = traces[few.name]
            drawn = decoded_positions(one.true, one.decoded, title=few.name)
            told = "Test windows: where the animal was (grey), and where the frozen model says (all labels)."
            figures.append(Figure(f"positions-{place}", _svg(drawn), told))
        tables.append(_table(few))
    return Section("Decoding from few labels", figures=figures, tables=tables)


def _curves(few: FewLabels) -> str:
    lines = {name: (curve.middle, curve.low, curve.high) for name, curve in few.curves.items()}
    draws = {name: curve.draws for name, curve in few.curves.items()}
    drawn = label_curves(
        np.array(list(few.labels)), lines, y=few.measure, chance=few.chance, draws=draws, title=few.name
    )
    return _svg(drawn)


def _told(few: FewLabels) -> str:
    return _CURVE.format(measure=few.measure.capitalize(), n=few.n_test, name=few.name)


def _table(few: FewLabels) -> Table:
    columns = ["method", *(f"{100 * share:g} % ({n})" for share, n in few.labels.items())]
    rows: list[list[Any]] = [
        [
            name,
            *(
                f"{m:.3g} [{a:.3g}, {b:.3g}]"
                for m, a, b in zip(curve.middle, curve.low, curve.high, strict=True)
            ),
        ]
        for name, curve in few.curves.items()
    ]
    rows.append(["constant guess", *[f"{few.chance:.3g}"] * len(few.labels)])
    told = f"{few.name}: {few.measure} with 95 % intervals, by share (number) of labelled windows."
    return Table(columns, rows, told)


def _svg(ax: Any) -> str:
    return to_svg(ax.get_figure())
