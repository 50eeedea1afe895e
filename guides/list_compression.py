# %% [markdown]
# # Two digits through one vector: a guided tour
#
# - Jupyter or VS Code: `kata guide list_compression` makes this notebook; VS Code also runs the `.py` cell by cell.
# - Colab: upload the course, then run `%cd circuit-kata` and `%pip install -q -e .[guide]` in a cell above this one.
#
# You need your own functions from `exercises/list_compression/`. Save a file and run a cell again: it uses what you
# saved. Where a function is not written yet, the cell says so in one line, and the tour goes on. Guess before each
# figure.

# %%
import torch
from IPython.display import display

from kata.guide import Guide
from kata.plots import attention

guide = Guide("list_compression")  # Guide("list_compression", "solutions") draws the solution's results
your, teacher, bottleneck = guide.functions, guide.load("teacher_shown"), guide.load("bottleneck_shown")
lists = torch.cartesian_prod(torch.arange(10), torch.arange(10))

# %% [markdown]
# ## One task, two models
#
# Both read two digits and a separator, and say the digits again. An answer may not look at a digit: everything has to
# pass the separator. Or so it seems.

# %%
with guide.attempt():
    print("answers may not look at digits:\n", your.block_mask(5)[0, 0].int())
    for name, model in (("teacher", teacher), ("bottleneck", bottleneck)):
        right = (your.greedy_decode(model, lists) == lists).all(1).double().mean()
        print(f"{name}: both digits right on {right:.0%} of the 100 lists")

# %% [markdown]
# **Predict.** The teacher model predicts every next token, the digits too. Its loss is 0.58 although all its answers
# are right. Where is that loss paid, and could any model do better?

# %%
guide.draw("paid_where")

# %% [markdown]
# ## Where they look
#
# **Predict.** If the separator has to hold both digits, where must it look in layer 0? Draw the five-by-five pattern
# of each layer. Which of its rows could be the same for all lists?

# %%
guide.draw("looks")

# %%
with guide.attempt():
    tokens = your.make_tokens(torch.tensor([[3, 8]]), True)
    _, cache = teacher.run_with_cache(tokens, attention_mask=your.block_mask(5))
    patterns = torch.stack([cache[f"blocks.{i}.attn.hook_pattern"][0, 0] for i in (0, 1)])
    display(attention(patterns, ["3", "8", "SEP", "3", "8"], ["layer 0", "layer 1"]))

# %% [markdown]
# **Predict.** Does the separator prefer certain digits, or a certain place? Where would the ten digits stand in each
# case?

# %%
guide.draw("strengths")

# %% [markdown]
# **Predict.** Turn a list round. If weight goes with the digit, what becomes of SEP's attention to first minus second?

# %%
guide.draw("turned_lists")

# %% [markdown]
# ## The teacher's two roads
#
# **Predict.** Each head's own OV table copies next to nothing. What about the product of the two?

# %%
guide.draw("two_hops")

# %% [markdown]
# **Predict.** Which part of the model lifts the right digit: embedding, layer 0, layer 1?

# %%
guide.draw("speakers")

# %% [markdown]
# **Predict.** And from which position does layer 1 fetch each answer? In the model whose answers cannot see the
# digits?

# %%
guide.draw("fetched_from")

# %% [markdown]
# **Predict.** Replace all patterns of a layer by their mean over the lists. By uniform attention. By nothing.

# %%
guide.draw("pattern_needed")

# %% [markdown]
# ## What is in the separator
#
# **Predict.** After layer 0, and after layer 1: does the separator's vector depend on d1, on d2, on both, on their
# sum?

# %%
guide.draw("held")

# %% [markdown]
# **Predict.** Plot the hundred lists by the first two components of that vector. Around which digit do they gather?

# %%
guide.draw("map_of_lists")

# %% [markdown]
# What can be decoded need not be used. **Predict.** Put another list's vector there. Whose digits come out?

# %%
guide.draw("transplanted")

# %% [markdown]
# ## One vector, two digits, one order
#
# The bottleneck model adds the two digits up. **Predict.** Then how does it know which came first: from how much of
# each there is, or from something else?

# %%
guide.draw("swaps")

# %% [markdown]
# **Predict.** The second answer has to say the other digit of the same vector. Could it be told by where it looks?

# %%
guide.draw("gate")

# %% [markdown]
# **Predict.** Mix the second answer's attention little by little with that of the reversed list. Is there a switch or
# a slope?

# %%
guide.draw("opened_gate")

# %% [markdown]
# ## Say it
#
# **Predict.** On which lists will your account and the model part?

# %%
guide.draw("misses")
