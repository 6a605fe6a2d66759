#!/usr/bin/env bash
# Makes the secrets of a new pool in FOLDER: a password per role of Redis, a certificate for Redis by a
# certificate authority of its own, and keys for the S3 store and Grafana of compose.yaml.
#
#   deploy/make-secrets.sh deploy/secrets redis               # for compose.yaml
#   deploy/make-secrets.sh secrets savs-redis.savs.svc        # for kubernetes/
#
# The first HOST is the one in the addresses; the certificate is valid for all of them. The files are
# readable by everybody, since containers run as other users, but the folder only by its owner.
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "usage: $0 FOLDER HOST [HOST...]" >&2
  exit 2
fi
folder=$1
shift
if [ -e "$folder" ]; then
  echo "$0: $folder exists; remove it to replace all passwords and certificates in it" >&2
  exit 1
fi
folder=$(realpath -m "$folder")
template=$(cd "$(dirname "$0")" && pwd)/redis/users.acl
umask 077
mkdir -p "$(dirname "$folder")"
new=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$new"' EXIT
cd "$new"

submitter=$(openssl rand -hex 24)
worker=$(openssl rand -hex 24)
scaler=$(openssl rand -hex 24)
sed -e "s/CHANGE-ME-SUBMITTER/$submitter/" -e "s/CHANGE-ME-WORKER/$worker/" -e "s/CHANGE-ME-SCALER/$scaler/" \
  "$template" > users.acl

# Whoever starts savs has ca.crt at this place, in a container and on Kubernetes.
options="ssl_ca_certs=/etc/savs/redis/ca.crt"
echo "SAVS_BROKER_URL=rediss://submitter:$submitter@$1:6380/0?$options" > submitter.env
echo "SAVS_BROKER_URL=rediss://worker:$worker@$1:6380/0?$options" > worker.env
printf 'username=scaler\npassword=%s\n' "$scaler" > scaler.env
printf 'AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n' "$(openssl rand -hex 10)" "$(openssl rand -hex 20)" > s3.env
cp s3.env s3-store.env # of compose.yaml's own store, which must not see a bucket's keys
openssl rand -hex 24 > grafana-password

names=$(printf 'DNS:%s,' "$@" localhost)
openssl req -x509 -newkey rsa:3072 -nodes -days 1825 -subj "/CN=savs pool" \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" -keyout ca.key -out ca.crt 2> /dev/null
openssl req -newkey rsa:3072 -nodes -subj "/CN=$1" -keyout redis.key -out redis.csr 2> /dev/null
openssl x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -days 825 -out redis.crt 2> /dev/null -extfile <(
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\n' "${names%,}"
)
rm ca.key redis.csr # nobody can issue another certificate; to renew, make all anew
chmod 444 ./*
chmod u+w s3.env # for the keys of a bucket of your own
mv "$new" "$folder"
