"""Loops over trials. Only here a judgement is read and another trial planned."""
