{% autoescape py_escape %}a = {{ a }}
b = {{ b }}
c = {{ c }}
