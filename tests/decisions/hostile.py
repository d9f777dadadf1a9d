"""Expressions and texts that someone with bad intent, or a bad day, could write into a rule."""

from __future__ import annotations

EXPRESSIONS: dict[str, str] = {
    "dunder import": "__import__('os').system('true')",
    "dunder class": "().__class__.__bases__[0].__subclasses__()",
    "dunder of a name": "n_fields.__class__ == 1",
    "dunder of a number": "(1).__class__",
    "builtins": "__builtins__['eval']('1')",
    "eval": "eval('1 + 1') == 2",
    "exec": "exec('import os')",
    "open": "open('/etc/hostname').read() != ''",
    "getattr": "getattr(n_fields, 'tofile')('x')",
    "globals": "globals()['os']",
    "method of a value": "n_fields.tofile('/tmp/x') == 1",
    "method of a word": "'x'.format(n_fields) == 'x'",
    "attribute of an attribute": "mean_signal.T.T.T > 1",
    "index": "n_fields[0] > 1",
    "slice": "well[0:1] == 'A'",
    "lambda": "(lambda: 1)() > 0",
    "walrus": "(n_fields := 99) > 1",
    "assignment": "n_fields = 99",
    "statement": "n_fields > 1; import os",
    "list comprehension": "[x for x in [1, 2]] == 1",
    "nested comprehension": "max([[y for y in range(9)] for x in range(9)]) > 1",
    "generator bomb": "sum(x for x in range(1000000000)) > 1",
    "f-string": "f'{n_fields}' == '1'",
    "format string bomb": "'%1000000000d' % 1 == ''",
    "star arguments": "max(*[1] * 1000000000) > 1",
    "list bomb": "[0] * 10000000000 == 1",
    "word bomb": "'a' * 10000000000 == 'a'",
    "power tower": "9 ** 9 ** 9 ** 9 > 1",
    "caret power": "9 ^ 999999999 > n_fields",
    "shift bomb": "1 << 100000000000 > 1",
    "number beyond floats": "n_fields > 1e999999999",
    "digits without end": "n_fields > " + "9" * 450,
    "very long": "n_fields > 1 or " * 5000 + "n_fields > 1",
    "deep brackets": "(" * 200 + "n_fields" + ")" * 200 + " > 1",
    "deep signs": "-" * 400 + "1 > n_fields",
    "deep not": "not " * 100 + "n_fields > 1",
    "wide": "+".join(["1"] * 200) + " > n_fields",
    "unicode look-alike of a name": "n_f\u0456elds > 1",
    "unicode digits": "n_fields > \u0661\u0662",
    "full-width letters": "\uff4e\uff3f\uff46 > 1",
    "invisible characters": "n_fields\u200b > 1",
    "reversed by direction marks": "n_fields > 1 \u202e and 1 < 2",
    "null byte": "n_fields > 1\x00 or 1 == 1",
    "bytes": "b'x' == 'x'",
    "ellipsis": "... == ...",
    "matrix product": "n_fields @ n_fields > 1",
    "call of a call": "max(1, 2)(3) > 1",
    "await": "await n_fields > 1",
}
"""By what it tries."""

TEXTS: dict[str, str] = {
    "attribute": "{n_fields.__class__}",
    "index": "{well[0]}",
    "conversion": "{well!r}",
    "width bomb": "{n_fields:999999999}",
    "digits bomb": "{n_fields:.999999999f}",
    "form inside a form": "{n_fields:{at_s}}",
    "by number": "{0}",
    "empty": "{}",
    "not closed": "{n_fields",
    "not opened": "n_fields}",
    "unknown name": "{__builtins__}",
}
"""Reasons (`because`) by what they try."""

COSTLY: str = " and ".join(f"(at_s != {i} or n_tried != {i})" for i in range(1, 15))
"""A condition that is in the language, and has 2 to the 14th ways to be true."""
