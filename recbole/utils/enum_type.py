"""RecBole's enumerations, under the names that model files import."""

from enum import Enum


class ModelType(Enum):
    """The type of a model.

    GENERAL: collaborative filtering. TRADITIONAL: collaborative filtering by a model that is not trained by gradient,
    such as EASE. SEQUENTIAL: session-based recommendation. NEXT_BASKET: next-basket recommendation. Models of RecBole's
    other types are not available.
    """

    GENERAL = 1
    SEQUENTIAL = 2
    CONTEXT = 3
    KNOWLEDGE = 4
    TRADITIONAL = 5
    DECISIONTREE = 6
    NEXT_BASKET = 7


class InputType(Enum):
    """What a training example of a model consists of.

    POINTWISE: a single item, with a label if negative items are sampled. PAIRWISE: a positive item and a negative item.
    LISTWISE: a set of items; here the next basket.
    """

    POINTWISE = 1
    PAIRWISE = 2
    LISTWISE = 3


class FeatureType(Enum):
    """The types of columns in RecBole's atomic files: an id (token), a number, or a sequence of ids or numbers."""

    TOKEN = "token"
    FLOAT = "float"
    TOKEN_SEQ = "token_seq"
    FLOAT_SEQ = "float_seq"


class FeatureSource(Enum):
    """The atomic file that a column comes from, or its role as the id of users or items."""

    INTERACTION = "inter"
    USER = "user"
    ITEM = "item"
    USER_ID = "user_id"
    ITEM_ID = "item_id"


class EvaluatorType(Enum):
    """The kind of a metric: RANKING is computed from a ranking of items (NDCG), VALUE from scores and labels (RMSE)."""

    RANKING = 1
    VALUE = 2
