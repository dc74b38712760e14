"""A fit uses one pool of threads at a time and leaves the caller's settings as they were."""

import threading

import numpy as np
import pytest
import torch

from neuroai.encoders import RidgeCV
from neuroai.encoders._ridge.threads import one_thread_pool


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_torch_works_on_the_calling_thread_inside_and_as_before_outside() -> None:
    seen = []

    def fail() -> None:
        with one_thread_pool(torch.device("cpu")):
            seen.append(torch.get_num_threads())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert (seen, torch.get_num_threads()) == ([1], 2)


@pytest.mark.usefixtures("two_threads")
def test_fits_that_overlap_leave_the_number_as_it_was() -> None:
    """The first to enter is the first to leave: what it restores must not be undone by the other."""
    entered, leave, after = threading.Event(), threading.Event(), []

    def other() -> None:
        with one_thread_pool(torch.device("cpu")):
            entered.set()
            leave.wait(10)
        after.append(torch.get_num_threads())

    thread = threading.Thread(target=other)
    with one_thread_pool(torch.device("cpu")):
        thread.start()
        assert entered.wait(10)
    assert torch.get_num_threads() == 2
    leave.set()
    thread.join()
    assert (after, torch.get_num_threads()) == ([2], 2)


@pytest.mark.usefixtures("two_threads")
def test_scores_do_not_depend_on_the_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 30)), rng.standard_normal((200, 50))
    two = RidgeCV(alphas=[1, 10, 100]).fit(x, y)
    torch.set_num_threads(1)
    one = RidgeCV(alphas=[1, 10, 100]).fit(x, y)
    np.testing.assert_array_equal(one.alpha_, two.alpha_)
    np.testing.assert_allclose(one.coef_, two.coef_, rtol=1e-10)
