"""The instructor's desk: many submissions, each run behind fences, judged where the truth lives.

supervisor (batch)  -- no torch; takes submissions in, hands them out, writes results
  stage             -- torch and transformer_lens, imported once; forks what follows
    judge (desk)    -- one per core: checks, references, mistakes; reads values only
      runner        -- the warm parent: models and the engine's call side, nothing of the answers
        child       -- one per submission, behind the fences: the only place where a submission's code runs
"""
