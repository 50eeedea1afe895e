# %% [markdown]
# # The first unique character: a guided tour
#
# - Jupyter or VS Code: `kata guide first_unique_char` makes this notebook; VS Code also runs the `.py` cell by cell.
# - Colab: upload the course, then run `%cd circuit-kata` and `%pip install -q -e .[guide]` in a cell above this one.
#
# You need your own functions from `exercises/first_unique_char/`. Save a file and run a cell again: it uses what you
# saved. Where a function is not written yet, the cell says so in one line, and the tour goes on. Guess before each
# figure.

# %%
from IPython.display import display

from kata.guide import Guide
from kata.plots import attention

guide = Guide("first_unique_char")  # Guide("first_unique_char", "solutions") draws the solution's results
your, model = guide.functions, guide.model

# %% [markdown]
# ## The task
#
# At every position: the first letter that has had no twin so far.

# %%
with guide.attempt():
    tokens = your.to_tokens("?acbbajcdefghiadcbej")
    print("reads ", your.to_text(tokens[0]))
    print("right ", your.to_text(your.first_unique_labels(tokens)[0]))
    print("says  ", your.to_text(model(tokens)[0].argmax(-1)))

# %% [markdown]
# **Predict.** Position 1 is the simplest of all: the answer is the letter itself. How would you build that? What
# happens to later positions if layer 0 may not look at position 1 from there?

# %%
guide.draw("first_position")

# %% [markdown]
# **Predict.** Of several letters without a twin the earliest has to win. How could logits say that?

# %%
guide.draw("falling_line")

# %% [markdown]
# **Predict.** Then between which two letters will it be mistaken most?

# %%
guide.draw("by_gap")

# %% [markdown]
# ## The LayerNorms
#
# Everybody treats a LayerNorm's scale as one number. **Predict.** Which of the three may be a constant?

# %%
guide.draw("scale_by_position")

# %% [markdown]
# **Predict.** Freeze them, one at a time: which of them takes the answers down?

# %%
guide.draw("frozen")

# %% [markdown]
# ## Layer 0: who has a twin?
#
# **Predict.** A head that detects repeats: what does its table of letters by letters look like? And how would the
# model use a head whose table has a hole on the diagonal?

# %%
guide.draw("choices")

# %%
with guide.attempt():
    tokens = your.to_tokens("?acbbajcdefghiadcbej")
    _, cache = model.run_with_cache(tokens)
    display(attention(cache["pattern", 0][0], list(your.to_text(tokens[0])), ["H0.0", "H0.1", "H0.2"]))

# %% [markdown]
# ## Layer 1: push it down
#
# **Predict.** A head of layer 1 reads a letter. It may have stood there itself, or a head of layer 0 may have brought
# it. Should the letter's logit rise or fall? By which way?

# %%
guide.draw("own_letters")

# %% [markdown]
# **Predict.** Split the answer's lead by component. Which of the nine speak for it?

# %%
guide.draw("speakers")

# %% [markdown]
# **Predict.** Three heads, ten letters. Does each head push every repeated letter down a little, or do they share them
# out? Is it the same in every model?

# %%
guide.draw("pushed_down")

# %% [markdown]
# **Predict.** By what it has read: which way raises letters that are unique, and which one only says that a letter
# occurred?

# %%
guide.draw("read_and_made")

# %% [markdown]
# ## Take it away
#
# **Predict.** For each of the six heads: at which positions is it missed most?

# %%
guide.draw("missed")

# %% [markdown]
# **Predict.** Give a head the same queries, or keys, or values on every sequence. Which loss hurts which head?

# %%
guide.draw("asked_or_told")

# %% [markdown]
# **Predict.** Layer 0 can reach layer 1 in three ways: through its queries, keys and values. Which are in use?

# %%
guide.draw("cut_ways")

# %% [markdown]
# ## One task, three algorithms
#
# Four models, the same data, the same architecture. **Predict.** Do they all do it this way?

# %%
guide.draw("families")

# %% [markdown]
# **Predict.** In the family where layer 0 does neither: where would layer 1 look from the last position?

# %%
guide.draw("last_look")

# %% [markdown]
# ## Where it breaks, and whether you saw it coming
#
# **Predict.** What does a sequence look like that this algorithm gets badly wrong?

# %%
guide.draw("broken")

# %% [markdown]
# **Predict.** A program that solves the task agrees with the model nearly always. How often does it agree where the
# model is wrong? And yours?

# %%
guide.draw("marks")
