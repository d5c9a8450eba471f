"""Executes blocks with the Ethereum specification.

Reads one block per line of standard input, a JSON object with the keys fork, alloc, env and txs, and
writes one line for each, what the t8n tool of the package ethereum-execution answers.
"""

import io
import json
import logging
import sys
import tempfile

from ethereum_spec_tools.evm_tools import main


def execute(block, folder):
    arguments = [
        "t8n",
        "--input.alloc=stdin",
        "--input.env=stdin",
        "--input.txs=stdin",
        "--output.alloc=stdout",
        "--output.result=stdout",
        # The tool clears this folder of files that look like its own.
        f"--output.basedir={folder}",
        f"--state.fork={block['fork']}",
        "--state.chainid=1",
    ]
    answer = io.StringIO()
    main(args=arguments, out_file=answer, in_file=io.StringIO(json.dumps(block)))
    return json.loads(answer.getvalue())


# The tool warns of every transaction that it rejects.
logging.disable(logging.CRITICAL)
with tempfile.TemporaryDirectory() as folder:
    for line in sys.stdin:
        print(json.dumps(execute(json.loads(line), folder)), flush=True)
