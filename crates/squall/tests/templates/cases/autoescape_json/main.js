{% autoescape py_escape %}var a = {{ a }};
{% raw b %} {% raw json_encode(c) %}
