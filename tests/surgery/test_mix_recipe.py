"""Recipes: which rule decides, and what a file may say."""

from __future__ import annotations

import json

import pytest
from conftest import growth, network_of, tiny_text

from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.surgery.mix_recipe import Ratio, Recipe, Rule, read_recipe, shares, with_overrides

LAYERS = network_of(tiny_text()).layers


def written(tmp_path, text: str, name: str = "recipe.json"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_last_rule_that_names_a_tensor_decides():
    recipe = Recipe(0.5, rules=(Rule(0.1, kind="conv*"), Rule(0.2, ((4, 5),)), Rule(0.3, tensor="rolling_*")))
    assert recipe.ratio(LAYERS[2]).alpha == 0.5  # a shortcut
    assert recipe.ratio(LAYERS[0], "weights").alpha == 0.1
    assert recipe.ratio(LAYERS[4], "weights").alpha == 0.2
    assert recipe.ratio(LAYERS[4], "rolling_mean").alpha == 0.3


def test_ranges_include_their_ends_and_may_be_open():
    rule = Rule(1, ((2, 3), (8, None)))
    assert [layer.index for layer in LAYERS if rule.names(layer, "")] == [2, 3, 8, 9, 10, 11, 12]


def test_a_sublayer_s_prefix_may_be_left_out():
    layer = network_of("[net]\ninputs=4\n[rnn]\noutput=2\n").layers[0]
    assert Rule(1, tensor="biases").names(layer, "self_layer.biases")
    assert Rule(1, tensor="self_*").names(layer, "self_layer.biases")
    assert not Rule(1, tensor="input_*").names(layer, "self_layer.biases")


def test_only_kernels_are_slerped_and_whole_tensors_are_copied():
    recipe = Recipe(0.5, "slerp", rules=(Rule(1, ((5, 5),)), Rule(0.5, ((11, 11),), method="linear")))
    assert recipe.ratio(LAYERS[0], "weights") == Ratio(0.5, "slerp")
    assert recipe.ratio(LAYERS[0], "rolling_variance") == Ratio(0.5, "linear")
    assert recipe.ratio(LAYERS[5], "weights") == Ratio(1.0, "copy")
    assert recipe.ratio(LAYERS[11], "weights") == Ratio(0.5, "linear")


def test_what_is_said_beside_a_recipe_counts_more():
    recipe = Recipe(0.25, "slerp", rules=(Rule(0.5, ((0, 0),)),))
    assert with_overrides(recipe, alpha=0.75, method="linear", space="folded").ratio(LAYERS[1], "weights") == Ratio(
        0.75, "linear"
    )
    assert with_overrides(recipe, alpha=0.75).ratio(LAYERS[0], "weights") == Ratio(0.5, "slerp")
    below_two = with_overrides(recipe, k=2)
    assert [below_two.ratio(layer).alpha for layer in LAYERS[:3]] == [0, 0, 0.25]


def test_k_alone_takes_the_rest_from_the_other():
    recipe = with_overrides(Recipe(), k=4)
    assert [recipe.ratio(layer).alpha for layer in LAYERS] == [0.0] * 4 + [1.0] * 9


def test_saying_nothing_is_refused():
    with pytest.raises(BadValue, match="say how much to take"):
        with_overrides(Recipe())
    with pytest.raises(BadValue, match="k=0: at least one layer"):
        with_overrides(Recipe(), k=0)


def test_shares_group_tensors_by_ratio():
    found = shares(with_overrides(Recipe(), k=4), LAYERS)
    assert [(ratio, [layer.index for layer, _ in pairs]) for ratio, pairs in found] == [
        (Ratio(0.0, "copy"), [0] * 5 + [1] * 5),
        (Ratio(1.0, "copy"), [4] * 5 + [5] * 2 + [8] * 5 + [11] * 2),
    ]


def test_a_file_says_all_that_the_types_hold(tmp_path):
    text = """{"alpha": 0.5, "method": "slerp", "space": "folded", "rules": [
        {"layers": "0-3, 7", "alpha": 0}, {"layers": [5, "8-"], "kind": "conv*", "tensor": "bias*", "alpha": 1,
         "method": "linear"}]}"""
    path = written(tmp_path, text)
    rules = Rule(0, ((0, 3), (7, 7))), Rule(1, ((5, 5), (8, None)), "conv*", "bias*", "linear")
    assert read_recipe(path) == Recipe(0.5, "slerp", "folded", rules, str(path))


@pytest.mark.parametrize("suffix", ["yaml", "yml"])
def test_yaml_says_the_same(tmp_path, suffix):
    pytest.importorskip("yaml")
    given = {"alpha": 0.5, "rules": [{"layers": "0-3", "alpha": 0}, {"layers": 5, "tensor": "rolling_*", "alpha": 1}]}
    text = "alpha: .5\nrules:\n- {layers: 0-3, alpha: 0}\n- layers: 5\n  tensor: rolling_*\n  alpha: 1\n"
    one, other = (
        read_recipe(written(tmp_path, json.dumps(given))),
        read_recipe(written(tmp_path, text, f"recipe.{suffix}")),
    )
    assert (one.alpha, one.rules) == (other.alpha, other.rules)


def test_yaml_without_pyyaml_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    path = written(tmp_path, "alpha: 1", "recipe.yaml")
    with pytest.raises(Unsupported, match=r"recipe.yaml: YAML needs PyYAML: pip install .*or write the recipe as JSON"):
        read_recipe(path)


WRONG = {
    "": "is not a recipe: Expecting value",
    "[]": "a recipe must be an object with alpha, method, space, rules",
    "null": "must be an object",
    '{"alhpa": 1}': "unknown key alhpa; a recipe has alpha, method, space, rules",
    '{"alpha": 1, "alpha": 0}': "alpha is given twice",
    '{"alpha": 1.5}': "alpha 1.5 must be a number from 0",
    '{"alpha": -0.1}': "alpha -0.1 must be",
    '{"alpha": NaN}': "alpha nan must be",
    '{"alpha": Infinity}': "alpha inf must be",
    '{"alpha": "1"}': "alpha 1 must be a number",
    '{"alpha": true}': "alpha True must be",
    '{"alpha": [1]}': "must be a number",
    '{"method": "cubic"}': "method cubic must be linear or slerp",
    '{"method": ["linear"]}': "must be linear or slerp",
    '{"space": "flat"}': "space flat must be raw or folded",
    '{"rules": {}}': "rules must be a list",
    '{"rules": [1]}': "rule 1: a rule must be an object",
    '{"rules": [{"alpha": 0}, {}]}': "rule 2: has no alpha",
    '{"rules": [{"alpha": 0, "layer": 1}]}': "rule 1: unknown key layer; a rule has alpha, layers, kind",
    '{"rules": [{"alpha": 7}]}': "rule 1: alpha 7 must be",
    '{"rules": [{"alpha": 0, "kind": 3}]}': "rule 1: kind must be a pattern",
    '{"rules": [{"alpha": 0, "method": "mean"}]}': "rule 1: method mean must be",
    '{"rules": [{"alpha": 0, "layers": "a-b"}]}': "rule 1: layers 'a-b': write 5, '0-73'",
    '{"rules": [{"alpha": 0, "layers": -5}]}': "rule 1: layers '-5': write",
    '{"rules": [{"alpha": 0, "layers": "9-3"}]}': "rule 1: layers '9-3' ends before it begins",
    '{"rules": [{"alpha": 0, "layers": 1.5}]}': "rule 1: layers '1.5': write",
    '{"rules": [{"alpha": 0, "layers": []}]}': "rule 1: layers '[]': write",
    '{"rules": [{"alpha": 0, "layers": "99999999999999"}]}': "rule 1: layers '99999999999999': write",
    '{"alpha": ' + "[" * 100000: "is not a recipe: ",
    '{"alpha": ' + "9" * 10000 + "}": "is not a recipe: ",
}


@pytest.mark.parametrize("text", WRONG, ids=[text[:40] for text in WRONG])
def test_a_wrong_file_is_named_with_its_rule(tmp_path, text):
    path = written(tmp_path, text)
    with pytest.raises(DarkshareError) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert WRONG[text] in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", ["{", "a: [", "- 1", "alpha: 2001-99-99", "&a [*a]", "? [1]: 2", "!!python/name:os.x"])
def test_wrong_yaml(tmp_path, text):
    pytest.importorskip("yaml")
    path = written(tmp_path, text, "recipe.yaml")
    with pytest.raises(DarkshareError, match=r"recipe\.yaml: "):
        read_recipe(path)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(DarkshareError, match=r"recipe\.json: is not a recipe"):
        read_recipe(path)
    with pytest.raises(DarkshareError, match="cannot be read"):
        read_recipe(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule(1, ((13, None),)), "rule 2 names layer 13, the last is 12"),
        (Rule(1, ((0, 99),)), "rule 2 names layer 99, the last is 12"),
        (Rule(1, kind="maxpol"), "rule 2 names no tensor: layers, kind=maxpol"),
        (Rule(1, tensor="gamma"), "rule 2 names no tensor"),
        (Rule(1, ((3, 3),), tensor="weights"), "rule 2 names no tensor"),
    ],
)
def test_rules_that_name_nothing_are_refused(rule, message):
    with pytest.raises(BadValue, match=message):
        Recipe(0.5, rules=(Rule(1), rule)).require_matches(LAYERS)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("r.json", "{" + ",".join(f'"{i}":0' for i in range(9_000)) + "}", "unknown key 0; a recipe has alpha"),
        ("r.json", '{"alpha":0,"rules":[{"tensor":"' + "[" * 40_000 + '","alpha":0}]}', "tensor has more than 100"),
        ("r.json", '{"alpha":0,"rules":[{"kind":"' + "*a" * 51 + '","alpha":0}]}', "kind has more than 100"),
        ("r.json", '{"alpha":0,"x":1,"x":2}', "x is given twice"),
        ("r.json", "[" * 100_000, "is not a recipe"),
        ("r.yaml", "alpha: !!bool x", "is not YAML"),
        ("r.yaml", "a: &a [1,1]\nb: &b [*a,*a]\nalpha: [*b,*b]", "it has an alias"),
        ("r.yaml", "alpha: &a [*a]", "it has an alias"),
    ],
)
def test_a_small_text_that_costs_much_is_refused_at_once(tmp_path, name, text, says):
    """Patterns compile in quadratic time, aliases stand for values that grow with every level."""
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    with pytest.raises(BadValue, match=says):
        read_recipe(written(tmp_path, text, name))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.json", "{" + ",".join(f'"{i}":0' for i in range(90_000)) + "}"),
        ("r.yaml", "rules: [{alpha: 0, layers: [" + "0," * 400_000 + "0]}]"),
    ],
)
def test_what_is_larger_than_any_recipe_is_not_read(tmp_path, name, text):
    with pytest.raises(DarkshareError, match=rf"{name}: has {len(text)} bytes, more than any such file"):
        read_recipe(written(tmp_path, text, name))


def test_time_grows_with_the_keys_of_a_recipe_and_no_faster(tmp_path):
    def prepared(size):
        path = written(tmp_path, "{" + ",".join(f'"{i}":0' for i in range(size)) + "}", f"{size}.json")

        def read():
            with pytest.raises(BadValue, match="unknown key"):
                read_recipe(path)

        return read

    assert growth(prepared, 2_000) < 10
