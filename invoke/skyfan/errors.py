"""What can go wrong on this side of Lambda: wrong use, told in one line that says what to do."""


class SkyfanError(Exception):
    """Base of every error that skyfan raises on purpose."""


class UsageError(SkyfanError):
    """What was asked cannot be done: a wrong path, name or option. The command line exits with 2."""


class TemplateError(UsageError):
    """template.yaml is missing, broken, or does not hold the function."""


class InputError(UsageError):
    """A path matches nothing, or names something that cannot be an input."""


class RunConflictError(UsageError):
    """A run of this name exists with another configuration."""


class FunctionRefusedError(UsageError):
    """The function refused its first event, or cannot start: every other file would fail the same way."""


NO_CREDENTIALS = "no AWS credentials: run `aws configure` or `aws sso login`, or set AWS_PROFILE"
