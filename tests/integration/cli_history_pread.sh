#!/bin/bash
# The same life of a store where io_uring is not to be had: both ways of reading promise the same.
export VARVE_IO=pread
. "$(dirname "$0")/cli_history.sh"
