GENERATOR_LICENCE="x"
def generate(c,s):
    return iter(())
