"""References and floats when runs of layers are joined."""

from __future__ import annotations

from collections import UserDict

import pytest
from conftest import network_of, tiny_text
from models import model, quiet_concat, without_weights

from darkshare.darknet.model import Model
from darkshare.errors import BadReference
from darkshare.surgery.assemble import Part, assemble


def test_a_reference_into_layers_left_out_names_both():
    base = model(tiny_text(2))
    net = base.network.cfg.sections[0]
    with pytest.raises(BadReference, match=r"layer 2 \[shortcut\] reads layer 0, which is not part"):
        assemble(net, [Part(base, 1, 13)], "alexeyab")


def test_shared_kernels_and_embeddings_are_rewired():
    body = (
        "[net]\nwidth=8\nheight=8\nchannels=1\n\n[conv]\nsize=1\nactivation=linear\n\n"
        "[conv]\nsize=1\nactivation=linear\n\n[conv]\nsize=1\nshare_index=-2\nactivation=linear\n\n"
        "[conv]\nsize=1\nshare_index=1\nactivation=linear\n\n[conv]\nfilters=6\n\n"
        "[yolo]\nclasses=1\nembedding_layer=4\n"
    )
    base = without_weights(body, "a")
    merged = quiet_concat([base, without_weights(body, "b")], 2)
    # 6 base layers, route 6, then 2..5 of b at 7..10
    refs = {layer.index: {r.key: r.target for r in layer.refs} for layer in merged.network.layers[7:]}
    assert refs == {7: {"share_index": 0}, 8: {"share_index": 1}, 9: {}, 10: {"embedding_layer": 9}}
    assert merged.network.layers[9].sources == ()


def test_layer_0_of_a_contrastive_loss_has_no_absolute_number():
    body = (
        "[net]\nwidth=8\nheight=8\nchannels=6\n\n[yolo]\nclasses=1\n\n[conv]\n\n"
        "[conv]\n\n[contrastive]\nyolo_layer=-3\n"
    )
    merged = quiet_concat([without_weights(body, "a"), without_weights(body, "b")], 2)
    (ref,) = merged.network.layers[-1].refs
    assert (ref.target, ref.written) == (0, -6)


def test_the_places_of_layers_are_put_together_once_however_many_read_them():
    class Through(UserDict):
        asked = 0

        def keys(self):
            self.asked += 1
            return super().keys()

    text = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=4\n" + "[route]\nlayers=0\n" * 50
    base, through = Model(network_of(text), None, ()), Through({0: 0})
    net = base.network.cfg.sections[0]
    product, _ = assemble(net, [Part(base, 0, 51), Part(base, 1, 51, {0: 0}, through)], "alexeyab")
    assert [layer.sources for layer in product.layers[1:]] == [(0,)] * 100
    assert through.asked == 1
