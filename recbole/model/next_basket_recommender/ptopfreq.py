"""The user's own most frequent items."""

from recbole.model.next_basket_recommender.gptopfreq import GPTopFreq


class PTopFreq(GPTopFreq):
    """Ranks by the number of the user's baskets with the item; see :class:`GPTopFreq`. Ties are in no fixed order."""

    general = False
