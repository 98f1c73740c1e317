"""What a person likes: their votes, kept, and what is learnt from them."""
