"""File names of forget sets and lists, as in ERASE."""

from recbole.generators.artefact_names import (
    baskets_said,
    forget_set_name,
    repeated_category,
    sensitive_list_names,
    sensitive_method,
)


def test_names():
    method = sensitive_method("mental_health")
    assert forget_set_name("goodreads", method, 2, 1e-5, "inter") == (
        "goodreads_unlearn_pairs_sensitive_category_mental_health_seed_2_unlearning_fraction_1e-05.inter"
    )
    assert (
        forget_set_name("tafeng", "m", 11, "0.0001", ".json")
        == "tafeng_unlearn_pairs_m_seed_11_unlearning_fraction_0.0001.json"
    )
    assert forget_set_name("d", "m", 2, 1, "pkl").endswith("_fraction_1.0.pkl")
    assert sensitive_list_names("meat") == [
        "sensitive_asins_meat.txt",
        "sensitive_products_meat.txt",
        "sensitive_tracks_meat.txt",
    ]


def test_the_name_has_the_minimum_number_of_baskets():
    assert repeated_category("middling") == "middling_repeated"
    said = [baskets_said(*named) for named in (("middling_repeated", "NBR"), ("middling", "NBR"), ("x_repeated", "CF"))]
    assert said == [2, 1, 1]
