# %% [markdown]
# # Trigrams, detected or looked up: a guided tour
#
# - Jupyter or VS Code: `kata guide trigrams` makes this notebook; VS Code also runs the `.py` cell by cell.
# - Colab: upload the course, then run `%cd circuit-kata` and `%pip install -q -e .[guide]` in a cell above this one.
#
# You need your own functions from `exercises/trigrams/`. Save a file and run a cell again: it uses what you saved.
# Where a function is not written yet, the cell says so in one line, and the tour goes on. Guess before each figure.

# %%
import json

import torch
from IPython.display import display

from kata.guide import Guide
from kata.plots import attention

guide = Guide("trigrams")  # Guide("trigrams", "solutions") draws the solution's results
your, model = guide.functions, guide.model
trigrams = torch.tensor(json.loads((guide.project.data / "trigrams" / "tables.json").read_text())["shown"])
table = torch.full((75, 75), -1)
table[trigrams[:, 0], trigrams[:, 1]] = trigrams[:, 2]  # what a pair forces, or -1

# %% [markdown]
# ## The data
#
# Tokens at random, but 277 pairs force what follows them. Everything else is noise.

# %%
with guide.attempt():
    tokens = your.sample_sequences(table, 200, 50, torch.Generator().manual_seed(0))
    wanted = your.required_next_token(tokens, table)[:, 1:48]
    said = model(tokens)[:, 1:48].argmax(-1)
    print(f"{(wanted >= 0).double().mean():.1%} of the next tokens are forced")
    print(f"of these the model says {(said == wanted)[wanted >= 0].double().mean():.1%}")

# %% [markdown]
# ## Where the head looks
#
# **Predict.** To know a trigram one has to see two tokens. The head is the only thing that moves anything. At how
# many of the fifty positions does it look one step back, and where does it look elsewhere?

# %%
guide.draw("pattern_of_fifty")

# %% [markdown]
# The same, to click through. The sequence is made of trigrams, so that there is something to see.

# %%
with guide.attempt():
    tokens = trigrams[torch.arange(0, 277, 35)].flatten()
    scores = your.score_terms(model, tokens).sum((0, 1))
    pattern = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(-1)
    display(attention(pattern, [str(t) for t in tokens.tolist()]))

# %% [markdown]
# **Predict.** A score has nine terms: token, position or bias asks, token, position or bias answers. Which of them are
# large? Which of them cannot matter, whatever their size?

# %%
guide.draw("nine_terms")

# %% [markdown]
# **Predict.** A key's worth by its position: what curve makes a head look at its own position by default? What should
# the last position look like, which is never trained?

# %%
guide.draw("position_ramp")

# %% [markdown]
# **Predict.** What does it cost a key to stand one step further back? Could the head ever notice (x, x, y)?

# %%
guide.draw("step_back")

# %% [markdown]
# ## Which trigrams it knows
#
# **Predict.** From the weights alone: of 5625 pairs, which ones make the second token look back? Is a pair noticed or
# not, or is there everything between?

# %%
guide.draw("gate_table")

# %% [markdown]
# **Predict.** For the 277 trigrams only: what does the histogram of their attention look like?

# %%
guide.draw("two_heaps")

# %%
with guide.attempt():
    found = your.detected_pairs(model)
    precision, recall = your.precision_recall(found, table)
    print(f"{int(found.sum())} pairs are noticed; precision {precision:.1%}, recall {recall:.1%}")

# %% [markdown]
# ## Who answers
#
# The model gets more trigrams right than it notices. **Predict.** Who writes the answer of a noticed one: the head,
# which has seen both tokens, or the MLP? And of one that was not noticed?

# %%
guide.draw("writers")

# %% [markdown]
# **Predict.** Of twenty units, how many would you give to trigrams? How often would such a unit be on elsewhere?

# %%
guide.draw("sleepers")

# %% [markdown]
# **Predict.** Two random matrices of these shapes share how many directions? (Count before you compute.)

# %%
guide.draw("angles")

# %% [markdown]
# ## Two ways of knowing
#
# **Predict.** Force the head to look at the current token only. Which answers survive? Then force it to look back
# only.

# %%
guide.draw("forced_gaze")

# %% [markdown]
# **Predict.** Now take away the units that sleep nearly everywhere. And then the others instead.

# %%
guide.draw("without_units")

# %% [markdown]
# ## Say it
#
# **Predict.** How well does "it looks back and knows the trigram" explain this model, on running text? How well does
# "it knows every trigram"?

# %%
guide.draw("scores")
