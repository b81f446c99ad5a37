"""What schemathesis cannot know of the contract from the document."""

import schemathesis
from schemathesis.core.parameters import ParameterLocation

KEY = "x-idempotency-key"


@schemathesis.hook
def before_call(context, case, kwargs):
    """Wrong bodies go without an idempotency key: a key that was answered before is answered so again,
    whatever else the request says, and the service is not asked."""
    if case.headers and case.meta and case.meta.is_negative_at(ParameterLocation.BODY):
        for name in [name for name in case.headers if name.lower() == KEY]:
            del case.headers[name]
