"""The user's own most frequent items."""

from recbole.model.next_basket_recommender.gptopfreq import GPTopFreq


class PTopFreq(GPTopFreq):
    """Ranks items by the number of the user's baskets with them; ties have no fixed order. See :class:`GPTopFreq`."""

    general = False
