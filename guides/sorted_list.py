# %% [markdown]
# # Sorting a list with one head: a guided tour
#
# - Jupyter or VS Code: `kata guide sorted_list` makes this notebook; VS Code also runs the `.py` cell by cell.
# - Colab: upload the course, then run `%cd circuit-kata` and `%pip install -q -e .[guide]` in a cell above this one.
#
# You need your own functions from `exercises/sorted_list/`. Save a file and run a cell again: it uses what you saved.
# Where a function is not written yet, the cell says so in one line, and the tour goes on.
#
# Before each figure there is a question. Write your guess down before you run the cell. A guess that was wrong is
# worth more than a figure that you only looked at.

# %%
import torch
from IPython.display import display

from kata.guide import Guide
from kata.plots import attention, heat

guide = Guide("sorted_list")  # Guide("sorted_list", "solutions") draws the solution's results
your, model = guide.functions, guide.model

# %% [markdown]
# ## What the model reads
#
# Ten numbers, and the same numbers in order. It is asked for the sorted half, one number at a time.

# %%
with guide.attempt():
    tokens = your.make_sorting_tokens(torch.tensor([[23, 4, 4, 40, 17, 9, 31, 0, 48, 12]]))
    print(tokens[0].tolist())
    print("the model says", model(tokens)[0, 11:21].argmax(-1).tolist())

# %% [markdown]
# **Predict.** Ten steps, from the smallest number to the largest. At which of them does the model go wrong most often?
# If every step were right in 99.8% of the lists, how many whole lists would be right?

# %%
guide.draw("accuracy_by_step")

# %% [markdown]
# ## The guess that comes first
#
# *The head finds the answer in the list, attends to it and copies it.* If that were so, the OV table would be a
# diagonal and little else.
#
# **Predict.** How much higher does the diagonal stand than the rest of its row? Twice as high? A hundred times?

# %%
guide.draw("ov_table")

# %% [markdown]
# **Predict.** Look at three rows of it: source 25, BOS and MID. BOS and MID hold no number. What could they add to the
# fifty outputs?

# %%
guide.draw("ov_rows")

# %% [markdown]
# **Predict.** Take the spike out of each row. What is left is a smooth table. Would the model still be right with it
# alone, nearly right, or lost?

# %%
guide.draw("two_scales")

# %% [markdown]
# **Predict.** How high is the spike of each number? Is it higher for some numbers than for others?

# %%
guide.draw("bumps")

# %%
with guide.attempt():
    numbers = your.ov_tables(model)[0][:50]
    smooth, bump = your.split_ov(numbers)
    lists = your.make_sorting_tokens(torch.randint(0, 50, (300, 10)))
    answers = your.predict_with_smooth_table(model, lists, numbers, smooth)
    off = (answers - lists[:, 12:22]).abs()
    exact, near = (off == 0).double().mean(), (off <= 1).double().mean()
    print(f"without bumps: exactly right {exact:.0%}, off by at most one {near:.0%}")

# %% [markdown]
# ## Where it looks
#
# A score is the sum of four look-ups: by the destination's token and position, and by the source's.
#
# **Predict.** Step 0 wants the smallest number, step 9 the largest. Draw the ten curves of `pos_tok` before you see
# them.

# %%
guide.draw("wishes")

# %% [markdown]
# **Predict.** The model stands on a 17. Which number of a list does `tok_tok` want most: 18? the next larger one?

# %%
guide.draw("successors")

# %% [markdown]
# **Predict.** Lists without repeats, numbers by rank. At step 5, how much attention does the number of rank 5 get?

# %%
guide.draw("soft_step")

# %% [markdown]
# The same in one list. Point at a token to see where it looks.

# %%
with guide.attempt():
    tokens = your.make_sorting_tokens(torch.tensor([[23, 4, 7, 40, 17, 9, 31, 0, 48, 12]]))
    scores = your.score_terms(model, tokens).sum(0)[0]
    pattern = scores.masked_fill(torch.ones(22, 22).triu(1).bool(), -torch.inf).softmax(-1)
    display(attention(pattern, ["BOS", *map(str, tokens[0, 1:11].tolist()), "MID", *map(str, tokens[0, 12:].tolist())]))

# %% [markdown]
# ## Whose vote counts
#
# **Predict.** The answer's logit, split by source. What part of it comes from the copies of the answer? Is there
# anything in the sequence that votes against it?

# %%
guide.draw("votes")

# %% [markdown]
# ## Take it away
#
# **Predict.** Order these by what it costs to lose them: `tok_tok`, `pos_tok`, `tok_pos`, `pos_pos`, BOS, MID, and all
# that stands after MID.

# %%
guide.draw("kept_terms")

# %% [markdown]
# **Predict.** And if sources are hidden: everything after MID, BOS, MID, the list itself? In which order do they hurt?

# %%
guide.draw("hidden_sources")

# %% [markdown]
# A term that is set to zero changes two things: which number of the list is preferred, and how much attention the list
# gets as a whole. **Predict.** If the second is held fixed, which of the four terms still matter?

# %%
guide.draw("two_ways_to_remove")

# %% [markdown]
# **Predict.** The list holds a 4 twice. At both steps the model stands on a 4. How can it know that the second time it
# has to go on? What happens if you move its position by one, in the query alone?

# %%
guide.draw("pretended_steps")

# %% [markdown]
# ## Say it, and be wrong in the right places
#
# An algorithm that copies one source can only say numbers of the list. **Predict.** What does a mixture of sources say
# where the list has a hole?

# %%
guide.draw("broken_list")

# %% [markdown]
# **Predict.** Which lists does the model fail on: long ones, large numbers, many repeats? Does your program say so
# too?

# %%
guide.draw("failures")

# %% [markdown]
# ## Your own question
#
# Everything that you computed can be drawn: `heat`, `lines`, `bars`, `panels`, `dots` of `kata.plots` take tensors.

# %%
with guide.attempt():
    display(
        heat(your.qk_tables(model)["pos_pos"], rows="destination position", columns="source position", unit="score")
    )
