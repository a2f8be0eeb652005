{{/* The server's YAML: what the chart knows, and over it flamelake.structuredConfig. */}}
{{- define "flamelake.config" -}}
{{- $backend := include "flamelake.backend" . -}}
{{- $etcd := include "flamelake.etcdEndpoints" . -}}
{{- $config := dict
  "server" (dict "http-listen-port" 4040 "grpc-listen-port" 9095 "admin-listen-port" 4041)
  "auth" (dict "multitenancy-enabled" .Values.flamelake.multitenancyEnabled)
  "log" (dict "level" .Values.flamelake.log.level "format" .Values.flamelake.log.format)
  "runtime-config" (dict "file" "/etc/flamelake/overrides/overrides.yaml") -}}
{{- range $port, $prefix := dict "public" "http" "admin" "admin" "internal" "grpc" -}}
{{- $own := get $.Values.tls $port -}}
{{- if $own.existingSecret -}}
{{- $server := $config.server -}}{{- $folder := printf "/etc/flamelake/tls-%s" $port -}}
{{- $_ := set $server (printf "%s-tls-cert-path" $prefix) (printf "%s/%s" $folder $own.keys.cert) -}}
{{- $_ := set $server (printf "%s-tls-key-path" $prefix) (printf "%s/%s" $folder $own.keys.key) -}}
{{- if eq $port "internal" -}}
{{- $_ := set $server "grpc-tls-client-ca" (printf "%s/%s" $folder $own.keys.ca) -}}
{{- $_ := set $server "grpc-tls-client-auth" "require" -}}
{{- $rpc := dict "tls-ca-path" (printf "%s/%s" $folder $own.keys.ca) "tls-cert-path" (printf "%s/%s" $folder $own.keys.cert) "tls-key-path" (printf "%s/%s" $folder $own.keys.key) -}}
{{- with $own.serverName }}{{ $_ := set $rpc "tls-server-name" . }}{{ end -}}
{{- $_ := set $config "rpc" $rpc -}}
{{- else if and (eq $port "public") (ne $own.clientAuth "none") -}}
{{- $_ := set $server "http-tls-client-ca" (printf "%s/%s" $folder $own.keys.clientCa) -}}
{{- $_ := set $server "http-tls-client-auth" $own.clientAuth -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.tokens.existingSecret.name }}{{ $_ := set $config.auth "tokens-file" (printf "/etc/flamelake/tokens/%s" .Values.tokens.existingSecret.key) }}{{ end -}}
{{- $storage := dict "backend" $backend -}}
{{- with .Values.storage.prefix }}{{ $_ := set $storage "prefix" . }}{{ end -}}
{{- if eq $backend "filesystem" -}}
{{- $_ := set $storage "filesystem" (dict "dir" "/data") -}}
{{- else if eq $backend "s3" -}}
{{- $s3 := dict -}}
{{- if .Values.trial.s3.enabled -}}
{{- $s3 = dict "bucket-name" .Values.trial.s3.bucketName "endpoint" (printf "%s-trial-s3:7070" (include "flamelake.fullname" .)) "insecure" true "force-path-style" true -}}
{{- else -}}
{{- $own := .Values.storage.s3 -}}
{{- $s3 = dict "bucket-name" $own.bucketName -}}
{{- with $own.region }}{{ $_ := set $s3 "region" . }}{{ end -}}
{{- with $own.endpoint }}{{ $_ := set $s3 "endpoint" . }}{{ end -}}
{{- if $own.insecure }}{{ $_ := set $s3 "insecure" true }}{{ end -}}
{{- if $own.forcePathStyle }}{{ $_ := set $s3 "force-path-style" true }}{{ end -}}
{{- end -}}
{{- if include "flamelake.s3SecretName" . -}}
{{- $_ := set $s3 "access-key-id" "${FLAMELAKE_S3_ACCESS_KEY_ID}" -}}
{{- $_ := set $s3 "secret-access-key-file" "/etc/flamelake/storage/secret-access-key" -}}
{{- end -}}
{{- $_ := set $storage "s3" $s3 -}}
{{- else if eq $backend "gcs" -}}
{{- $gcs := dict "bucket-name" .Values.storage.gcs.bucketName -}}
{{- if .Values.storage.gcs.existingSecret.name }}{{ $_ := set $gcs "service-account-file" "/etc/flamelake/storage/service-account.json" }}{{ end -}}
{{- $_ := set $storage "gcs" $gcs -}}
{{- else if eq $backend "azure" -}}
{{- $own := .Values.storage.azure -}}
{{- $azure := dict "account-name" $own.accountName "container-name" $own.containerName -}}
{{- with $own.endpoint }}{{ $_ := set $azure "endpoint" . }}{{ end -}}
{{- if $own.existingSecret.name }}{{ $_ := set $azure "account-key-file" "/etc/flamelake/storage/account-key" }}{{ end -}}
{{- $_ := set $storage "azure" $azure -}}
{{- end -}}
{{- $_ := set $config "storage" $storage -}}
{{- if $etcd -}}
{{- $own := .Values.externalEtcd -}}
{{- $e := dict "endpoints" (splitList "," $etcd) "prefix" $own.prefix -}}
{{- if not .Values.trial.etcd.enabled -}}
{{- if $own.existingSecret.name -}}
{{- $_ := set $e "username" "${FLAMELAKE_ETCD_USERNAME}" -}}
{{- $_ := set $e "password-file" "/etc/flamelake/etcd-user/password" -}}
{{- end -}}
{{- if $own.tls.enabled }}{{ $_ := set $e "tls-enabled" true }}{{ end -}}
{{- with $own.tls.serverName }}{{ $_ := set $e "tls-server-name" . }}{{ end -}}
{{- if $own.tls.existingSecret -}}
{{- with $own.tls.keys.ca }}{{ $_ := set $e "tls-ca-path" (printf "/etc/flamelake/etcd-tls/%s" .) }}{{ end -}}
{{- with $own.tls.keys.cert }}{{ $_ := set $e "tls-cert-path" (printf "/etc/flamelake/etcd-tls/%s" .) }}{{ end -}}
{{- with $own.tls.keys.key }}{{ $_ := set $e "tls-key-path" (printf "/etc/flamelake/etcd-tls/%s" .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "ring" (dict "instance-id" "${POD_NAME}" "instance-addr" "${POD_IP}" "etcd" $e) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $config (deepCopy .Values.flamelake.structuredConfig)) -}}
{{- end }}
