#!/usr/bin/env bash
# Encoders that adapt, by one command, resumed as often as need be: give it again.
#   cd recipes && bash adapted.sh DATA_ROOT [--encoder_source=DIR and other keys of runs]
# Needs: RAVDESS, EMO-DB, URDU, nEMO and ASED below DATA_ROOT, Whisper base (of the hub, or
# --encoder_source), and xser in the environment.
# With a GPU: 3000 steps, three runs on the card at a time; without: 600 steps on all cores.
# Then robust on each of the encoders that baseline2 has adapted.
# Leaves: results/adapted with all runs, their tables in results/adapted/tables, the encoders in
# results/adapted/encoders, and robust on them in results/adapted_robust.
set -euo pipefail
if [ $# -lt 1 ]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
common=("--data_root=$1" --allow_incomplete=True --splits=speaker --precision=bf16
    --eval_precision=bf16)
given=("${common[@]}" --results=results/adapted)
shift
if python -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; then
    given+=(--devices=0,0,0 --steps=3000 --warmup=300)
fi
python -m xser_brain grid leave_one_out/adapted.yaml "${given[@]}" "$@"
case " $* " in *" --dry_run "*) exit 0 ;; esac
python -m xser_brain tables results/adapted --out=results/adapted/tables --reference=baseline2

for run in results/adapted/*_to_*/baseline2/whisper-lora/*/; do
    IFS=/ read -r _ _ setting _ _ seed _ <<<"$run"
    encoder=results/adapted/encoders/$setting.$seed
    [ -d "$encoder" ] ||
        python -m xser_brain export "$run" --format=encoder --output="$encoder"
    python -m xser_brain train leave_one_out/hparams/leave_one_out.yaml "${common[@]}" \
        --corpora=ravdess,emodb,urdu,nemo,ased --target="${setting#*_to_}" --seed="$seed" \
        --encoder_source="$PWD/$encoder" --cache_precision=bf16 --results=results/adapted_robust
done
python -m xser_brain tables results/adapted_robust --out=results/adapted/tables/robust
