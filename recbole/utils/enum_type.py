"""RecBole's enumerations, under the names that model files import."""

from enum import Enum


class ModelType(Enum):
    """The kind of a model, which determines its task (CF, SBR or NBR) and the folder of its source file."""

    GENERAL = 1
    SEQUENTIAL = 2
    CONTEXT = 3
    KNOWLEDGE = 4
    TRADITIONAL = 5
    DECISIONTREE = 6
    NEXT_BASKET = 7


class InputType(Enum):
    """How a model receives training examples: single items with labels, or a positive item with negatives."""

    POINTWISE = 1
    PAIRWISE = 2
    LISTWISE = 3


class FeatureType(Enum):
    """Column types in RecBole's atomic files."""

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
    """The kind of a metric: RANKING orders candidates (NDCG), VALUE compares predictions with labels (RMSE)."""

    RANKING = 1
    VALUE = 2
