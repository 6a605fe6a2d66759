# shellcheck shell=bash
# What workers.sbatch and pool.sbatch need to know about your cluster. This is the only place to edit.
# They read this file from the folder in which you call sbatch.

# 1. Where savs-worker, savs-submit and (for pool.sbatch) redis-server are. One of:
#      module load python/3.12 redis
#      source "$HOME/savs/.venv/bin/activate"
#      export PATH="$HOME/savs/bin:$PATH"   # scripts of these names: exec apptainer exec --nv savs.sif savs-worker "$@"

# 2. What all nodes can read: the results, and the folders or s3:// addresses of the media.
: "${SAVS_WORKSPACE:=$SLURM_SUBMIT_DIR/results}"
: "${SAVS_ALLOWED_ROOTS:=$SLURM_SUBMIT_DIR}"

# 3. The model, and how long a worker waits without work until it ends, in seconds.
: "${SAVS_MODEL:=qwen2.5_vl}"
: "${IDLE_SECONDS:=600}"

# 4. Less than KillWait, 30 s unless your cluster sets it: after `scancel`, `scontrol requeue` and a preemption
#    without notice, Slurm kills what then still runs.
: "${SAVS_GRACE_TIME:=25}"

export SAVS_WORKSPACE SAVS_ALLOWED_ROOTS SAVS_MODEL IDLE_SECONDS SAVS_GRACE_TIME
