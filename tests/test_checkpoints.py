"""Checkpoints: native and old format, and everything that can be wrong with a file."""

import json
import shutil

import pytest
import torch
from conftest import PROJECT
from safetensors.torch import load_file, save_file

from kata.checkpoints import brought, checkpoints, load_model, read_weights
from kata.project import KataError, Project


def old_format(state: dict, heads: int, d_head: int) -> dict:
    """A native state dict in the names and shapes of HookedTransformer.state_dict()."""
    renamed = {"blocks.0.attn.mask": torch.ones(3, 3).tril().bool(), "blocks.0.attn.IGNORE": torch.tensor(-torch.inf)}
    for key, value in state.items():
        name, _, kind = key.rpartition(".")
        stem, _, part = name.rpartition(".")
        weight = kind == "weight"
        if part in ("embed", "pos_embed"):
            renamed[f"{part}.W_{'E' if part == 'embed' else 'pos'}"] = value
        elif part == "unembed":
            renamed["unembed.W_U" if weight else "unembed.b_U"] = value.T if weight else value
        elif part in ("q", "k", "v"):
            shaped = value.view(heads, d_head, -1).mT if weight else value.view(heads, d_head)
            renamed[f"{stem}.{'W' if weight else 'b'}_{part.upper()}"] = shaped.contiguous()
        elif part == "o":
            renamed[f"{stem}.{'W' if weight else 'b'}_O"] = value.T.reshape(heads, d_head, -1) if weight else value
        elif part in ("in", "out"):
            renamed[f"{stem}.{'W' if weight else 'b'}_{part}"] = value.T if weight else value
        else:
            renamed[f"{name}.{'w' if weight else 'b'}"] = value  # a norm
    return {k: v.contiguous() for k, v in renamed.items()}


@pytest.fixture
def weights(project):
    return load_file(project.data / "sorted_list" / "shown.safetensors")


@pytest.mark.parametrize("set_name", PROJECT.sets)
def test_the_old_format_gives_the_same_model(tmp_path, set_name):
    """An instructor's file in the format of the literature, processed as the set's own checkpoints are."""
    for checkpoint in checkpoints(PROJECT, set_name):
        if checkpoint.role == "shown":
            shape = checkpoint.architecture
            file = tmp_path / f"{checkpoint.variant}_old.pt"
            torch.save(old_format(read_weights(checkpoint.path), shape["n_heads"], shape["d_head"]), file)
            theirs = brought(PROJECT, set_name, file)
            assert theirs.variant == checkpoint.variant
            tokens = torch.randint(0, shape["d_vocab"], (3, shape["n_ctx"]))
            assert torch.equal(load_model(theirs)(tokens), load_model(checkpoint)(tokens))


def test_the_facts_of_a_brought_file_stand_beside_the_published_ones(tmp_path, weights):
    from kata.facts import of_file

    file = tmp_path / "old.pt"
    torch.save(old_format(weights, 1, 128), file)
    known = json.loads((PROJECT.data / "sorted_list" / "facts.json").read_text())["checkpoints"]["shown"]
    lines = of_file(PROJECT, "sorted_list", file)
    line = next(x for x in lines if x.startswith("successor_fraction "))
    assert str(known["successor_fraction"]) in line


def test_an_old_file_without_its_zero_biases_is_taken(project, tmp_path, weights):
    file = tmp_path / "old.pt"
    state = {k: v for k, v in old_format(weights, 1, 128).items() if ".b_" not in k}
    torch.save(state, file)
    assert load_model(brought(project, "sorted_list", file))


def test_every_shipped_checkpoint_loads_with_all_keys_matched(project):
    for set_name in project.sets:
        for checkpoint in checkpoints(project, set_name):
            model = load_model(checkpoint)
            assert set(model.state_dict()) >= set(read_weights(checkpoint.path))
            assert not any(p.requires_grad for p in model.parameters())


def test_loading_leaves_the_global_generator_alone(project):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    load_model(checkpoints(project, "sorted_list")[0])
    assert torch.equal(torch.get_rng_state(), before)


def spoil_missing(path, state):
    path.unlink()


def spoil_truncated(path, state):
    path.write_bytes(path.read_bytes()[:1000])


def spoil_junk(path, state):
    path.write_bytes(b"not a checkpoint")


def spoil_shape(path, state):
    save_file({**state, "embed.weight": torch.zeros(53, 128)}, path)


def spoil_lacks(path, state):
    del state["blocks.0.attn.q.weight"]
    save_file(state, path)


def spoil_extra(path, state):
    save_file({**state, "blocks.1.attn.q.weight": torch.zeros(128, 128)}, path)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_missing, "is missing"),
        (spoil_truncated, "truncated or damaged"),
        (spoil_junk, "truncated or damaged"),
        (spoil_shape, "embed.weight has shape [53, 128], the architecture wants [52, 128]"),
        (spoil_lacks, "lacks blocks.0.attn.q.weight"),
        (spoil_extra, "unknown tensor blocks.1.attn.q.weight"),
    ],
)
def test_a_bad_file_gets_one_clear_line(copy, weights, spoil, says):
    path = copy.data / "sorted_list" / "shown.safetensors"
    spoil(path, dict(weights))
    with pytest.raises(KataError) as error:
        load_model(checkpoints(copy, "sorted_list")[0])
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_pickle_that_runs_code_is_refused(project, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    file = tmp_path / "evil.pt"
    file.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(KataError):
        brought(project, "sorted_list", file)
    torch.save({"a": Evil()}, file)
    with pytest.raises(KataError, match="not a plain file of tensors"):
        brought(project, "sorted_list", file)


@pytest.fixture
def copy(project, tmp_path) -> Project:
    """A course that a test may spoil: the data folder is a copy."""
    shutil.copytree(project.data / "sorted_list", tmp_path / "data" / "sorted_list")
    return Project(project.root, project.solutions, project.exercises, project.checks, tmp_path / "data")


def edit(project, change):
    path = project.data / "sorted_list" / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.update(chekpoints={}), "did you mean `checkpoints`"),
        (lambda c: c["checkpoints"]["shown"].update(sed=3), "did you mean `seed`"),
        (lambda c: c["checkpoints"]["shown"].update(role="best"), "needs a role"),
        (lambda c: c["checkpoints"]["shown"].update(variant="other"), "unknown variant"),
        (lambda c: c["variants"]["main"]["architecture"].update(n_lyers=3), "n_lyers"),
        (lambda c: c.update(checkpoints={}), "lists no checkpoints"),
    ],
)
def test_a_bad_config_gets_one_clear_line(copy, change, says):
    edit(copy, change)
    with pytest.raises(KataError) as error:
        load_model(checkpoints(copy, "sorted_list")[0])
    assert says in str(error.value) and len(str(error.value).splitlines()) == 1


def test_config_that_is_not_json(copy):
    (copy.data / "sorted_list" / "config.json").write_text("{,}")
    with pytest.raises(KataError, match="line 1 is not JSON"):
        checkpoints(copy, "sorted_list")


def test_names_misspelt_get_the_near_one(project):
    with pytest.raises(KataError, match="did you mean `sorted_list`"):
        project.catalog("sorted_lst")
    with pytest.raises(KataError, match=r"did you mean `sorted_list\.ov_tables`"):
        project.exercise("sorted_list.ov_table")
    assert project.exercise("sorted_list/ov_tables").name == "ov_tables"
