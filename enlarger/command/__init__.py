"""The `enlarger` command: a thin layer over the SDK. Exit code 0 done, 1 some failed, 2 usage."""


def main() -> None:
    """Run the command line of this process."""
    import os
    from pathlib import Path

    from enlarger.command.app import app
    from enlarger.command.patience import connect
    from enlarger.command.session import Session

    app(obj=Session(environ=os.environ, folder=Path.cwd(), connect=connect), prog_name="enlarger")
