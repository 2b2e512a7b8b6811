import logging
import warnings

import pytest

from scripts.running.noise import LOGGED, WARNED, silence_noise


def test_logged_messages_then_those_that_tell_nothing_are_silent(caplog):
    before = list(logging.getLogger().filters), logging.getLogger().level
    silence_noise()
    silence_noise()
    for name, start in LOGGED.items():
        logging.getLogger(name).warning(f"{start} ...")
        logging.getLogger(name).warning("another message")
    assert caplog.messages == ["another message"] * len(LOGGED)
    assert (list(logging.getLogger().filters), logging.getLogger().level) == before


@pytest.mark.parametrize(("message", "category"), WARNED, ids=["decoder", "orientation"])
def test_warnings_then_silent_by_their_first_words_and_category(message, category):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silence_noise()
        warnings.warn(message.replace("\\", "") + " ...", category, stacklevel=1)
        with pytest.raises(category):
            warnings.warn("another", category, stacklevel=1)
        with pytest.raises(RuntimeWarning):
            warnings.warn(message.replace("\\", ""), RuntimeWarning, stacklevel=1)
