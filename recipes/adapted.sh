#!/usr/bin/env bash
# Encoders that adapt, by one command, resumed as often as need be: give it again.
#   cd recipes && ./adapted.sh DATA_ROOT [--encoder_source=DIR and other keys of runs]
# Needs: RAVDESS, EMO-DB, URDU, nEMO and ASED below DATA_ROOT, Whisper base (of the hub, or
# --encoder_source), and xser in the environment.
# With a GPU: 3000 steps, three runs on the card at a time; without: 600 steps on all cores.
# Leaves: results/adapted with all runs, and their tables in results/adapted/tables.
set -euo pipefail
if [ $# -lt 1 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
given=("--data_root=$1" --results=results/adapted --allow_incomplete=True --splits=speaker
    --precision=bf16 --eval_precision=bf16)
shift
if python -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; then
    given+=(--devices=0,0,0 --steps=3000 --warmup=300)
fi
python -m xser_brain grid leave_one_out/adapted.yaml "${given[@]}" "$@"
case " $* " in *" --dry_run "*) exit 0 ;; esac
python -m xser_brain tables results/adapted --out=results/adapted/tables --reference=baseline2
