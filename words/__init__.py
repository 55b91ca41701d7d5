"""The words of `inv`: parse (all parameters are strings), call one function, print what console made of it."""
