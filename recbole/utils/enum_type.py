"""RecBole's enumerations, by the names that model files import."""

from enum import Enum


class ModelType(Enum):
    """What a model is made for; decides the data task and the folder that it is looked for in."""

    GENERAL = 1
    SEQUENTIAL = 2
    CONTEXT = 3
    KNOWLEDGE = 4
    TRADITIONAL = 5
    DECISIONTREE = 6
    NEXT_BASKET = 7


class InputType(Enum):
    """How training examples reach a model: one by one with a label, or a positive with negatives beside it."""

    POINTWISE = 1
    PAIRWISE = 2
    LISTWISE = 3


class FeatureType(Enum):
    """Column types of atomic files."""

    TOKEN = "token"
    FLOAT = "float"
    TOKEN_SEQ = "token_seq"
    FLOAT_SEQ = "float_seq"


class FeatureSource(Enum):
    """The file that a column comes from."""

    INTERACTION = "inter"
    USER = "user"
    ITEM = "item"
    USER_ID = "user_id"
    ITEM_ID = "item_id"


class EvaluatorType(Enum):
    """Ranking metrics over a catalogue, or metrics of single predicted values."""

    RANKING = 1
    VALUE = 2
