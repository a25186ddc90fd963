"""Six small agents, each a file that reads like an example.

They use the official clients unmodified. What clew asks of them is `import clew.auto` at the start of the
program (`clew.demo.agents.__main__`), and what the decorators and context managers of `clew` add: who the
agent is, its tools, its steps, its gates and how it ended.
"""
