# %% [markdown]
# # Listing permutations with one head: a guided tour
#
# - Jupyter or VS Code: `kata guide permutations` makes this notebook; VS Code also runs the `.py` cell by cell.
# - Colab: upload the course, then run `%cd circuit-kata` and `%pip install -q -e .[guide]` in a cell above this one.
#
# You need your own functions from `exercises/permutations/`. Save a file and run a cell again: it uses what you saved.
# Where a function is not written yet, the cell says so in one line, and the tour goes on. Guess before each figure.

# %%
from IPython.display import display

from kata.guide import Guide
from kata.plots import attention

guide = Guide("permutations")  # Guide("permutations", "solutions") draws the solution's results
your, four = guide.functions, guide.load("n4_shown")

# %% [markdown]
# ## The task
#
# Four or five characters, and then all their permutations, in order. A model of one layer and one head, without an
# MLP, makes no mistake.

# %%
with guide.attempt():
    sequence = your.build_batch(your.to_tokens("k4bz")[None])
    print(your.to_text(sequence[0]))
    loss, accuracy = your.scored_metrics(four(sequence), sequence, 4)
    print(f"loss {loss:.1e}, right on {accuracy:.1%} of the rows that can be known")

# %% [markdown]
# **Predict.** Which parts of such a sequence depend on the characters, and which on the position alone? From how many
# places could the model copy the next letter in the last terms?

# %%
guide.draw("allowed")

# %% [markdown]
# **Predict.** What share of the attention lies on allowed places, before a letter and before a space?

# %%
guide.draw("mass")

# %% [markdown]
# The head's pattern over the first terms, to click through.

# %%
with guide.attempt():
    sequence = your.build_batch(your.to_tokens("abcd")[None])
    _, cache = four.run_with_cache(sequence)
    shown = [c.replace(" ", "␣") for c in your.to_text(sequence[0, :42])]
    display(attention(cache["pattern", 0][0, :, :42, :42], shown))

# %% [markdown]
# ## Where: a table of positions
#
# **Predict.** Take the tokens away and leave the positions. How much of the pattern is left?

# %%
guide.draw("blind")

# %% [markdown]
# ## What: a copier
#
# It has been said that a model without an MLP has no OV circuit. **Predict.** What would the 65 by 65 table look like
# if the head copies?

# %%
guide.draw("copier")

# %% [markdown]
# **Predict.** And its eigenvalues: where do those of a copier lie in the complex plane?

# %%
guide.draw("eigenvalues")

# %% [markdown]
# **Predict.** A letter, a space, the full stop: which of them come by attention, and which are said by the position?

# %%
guide.draw("paths")

# %% [markdown]
# **Predict.** Split a logit by source. Will it look like the pattern, or can a weak source count for much?

# %%
guide.draw("sources")

# %% [markdown]
# ## Does it cause it?
#
# **Predict.** Take the head away. What survives?

# %%
guide.draw("headless")

# %% [markdown]
# **Predict.** Now allow the head only some sources. Without the first term? With the first term alone?

# %%
guide.draw("narrowed")

# %% [markdown]
# **Predict.** Put in another sequence's queries. Its keys. Its whole pattern. Its values. Which of the four changes an
# answer?

# %%
guide.draw("donors")

# %% [markdown]
# ## Which of the right places?
#
# Many places hold the wanted index, and the head uses few of them. **Predict.** The first ones? The last ones? Is it
# the row that decides, or the source?

# %%
guide.draw("winners")

# %% [markdown]
# **Predict.** Sort the rows by the index that they want. Suppose each position has one strength. What pattern would
# that make?

# %%
guide.draw("sorted_rows")

# %% [markdown]
# In training the first term was always in vocabulary order. **Predict.** Would that leave a trace in the weights?

# %%
guide.draw("alphabet")

# %% [markdown]
# ## Say it
#
# A model of five characters was asked for the list of `ghg4` and answered gibberish. **Predict.** Is it?

# %%
guide.draw("gibberish")

# %% [markdown]
# **Predict.** Now a random letter at every place, so that the right sources disagree. How often does your program say
# what the model says?

# %%
guide.draw("programs")
