"""`PoissonGLM` as a scikit-learn estimator."""

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from neuroai.glm import PoissonGLM


def impossible(estimator: Any) -> dict[str, str]:
    """This check draws negative targets whatever the tag ``positive_only`` says."""
    return {"check_regressor_multioutput": "negative counts are refused"}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [PoissonGLM(), PoissonGLM(alpha=[0.1, 1.0], cv=2), PoissonGLM(l1_ratio=0.5, tol=1e-5)],
    expected_failed_checks=impossible,
)
def test_estimator_checks(estimator: Any, check: Any) -> None:
    check(estimator)
