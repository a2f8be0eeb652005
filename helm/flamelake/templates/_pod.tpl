{{/* The pod of one workload; called with {root, name, w}. */}}
{{- define "flamelake.pod" -}}
{{- $root := .root -}}{{- $name := .name -}}{{- $w := .w -}}
{{- $etcd := include "flamelake.etcdEndpoints" $root -}}
{{- $backend := include "flamelake.backend" $root -}}
{{- $own := $root.Values.externalEtcd -}}
metadata:
  labels:
    {{- include "flamelake.selector" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $name }}
    {{- with $w.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/config: {{ include "flamelake.config" $root | sha256sum }}
    {{- with $w.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "flamelake.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $w.terminationGracePeriodSeconds }}
  {{- with $root.Values.global.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $w.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext: {{- toYaml $w.podSecurityContext | nindent 4 }}
  {{- $selector := $w.nodeSelector }}
  {{- if $w.zone }}{{ $selector = merge (dict "topology.kubernetes.io/zone" $w.zone.topologyZone) $selector }}{{ end }}
  {{- with $selector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $w.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $w.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if $w.topologySpreadConstraints }}
    {{- toYaml $w.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range $key := ternary (list "kubernetes.io/hostname") (list "kubernetes.io/hostname" "topology.kubernetes.io/zone") (hasKey $w "zone") }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "flamelake.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $name }}
    {{- end }}
    {{- end }}
  containers:
    - name: flamelake
      image: {{ include "flamelake.image" $root }}
      imagePullPolicy: {{ $root.Values.flamelake.image.pullPolicy }}
      securityContext: {{- toYaml $w.securityContext | nindent 8 }}
      args:
        - --config.file=/etc/flamelake/config/flamelake.yaml
        - --target={{ $w.target }}
        {{- if $w.zone }}
        - --ring.instance-zone={{ $w.zone.name }}
        {{- end }}
        {{- if and $w.persistence.enabled (ne $backend "filesystem") }}
        - --log.url=file:///data/log
        {{- end }}
        {{- range $key, $value := $w.extraArgs }}
        - --{{ $key }}={{ $value }}
        {{- end }}
      env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        {{- if and (eq $backend "s3") (include "flamelake.s3SecretName" $root) }}
        - name: FLAMELAKE_S3_ACCESS_KEY_ID
          valueFrom:
            secretKeyRef:
              name: {{ include "flamelake.s3SecretName" $root }}
              key: {{ ternary "access-key-id" $root.Values.storage.s3.existingSecret.accessKeyIdKey $root.Values.trial.s3.enabled }}
        {{- end }}
        {{- if and $etcd (not $root.Values.trial.etcd.enabled) $own.existingSecret.name }}
        - name: FLAMELAKE_ETCD_USERNAME
          valueFrom: {secretKeyRef: {name: {{ $own.existingSecret.name }}, key: {{ $own.existingSecret.usernameKey }}}}
        {{- end }}
        {{- with $w.extraEnvVars }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with $w.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: http, containerPort: 4040, protocol: TCP}
        - {name: admin, containerPort: 4041, protocol: TCP}
        - {name: grpc-internal, containerPort: 9095, protocol: TCP}
      startupProbe: {{- toYaml (merge (dict "httpGet" (dict "path" "/healthz" "port" "admin" "scheme" (include "flamelake.scheme" (dict "root" $root "port" "admin")))) $w.probes.startup) | nindent 8 }}
      livenessProbe: {{- toYaml (merge (dict "httpGet" (dict "path" "/healthz" "port" "admin" "scheme" (include "flamelake.scheme" (dict "root" $root "port" "admin")))) $w.probes.liveness) | nindent 8 }}
      {{- /* Kubelet has no certificate to show. */}}
      {{- $ready := ternary "admin" "http" (eq $root.Values.tls.public.clientAuth "require") }}
      readinessProbe: {{- toYaml (merge (dict "httpGet" (dict "path" "/ready" "port" $ready "scheme" (include "flamelake.scheme" (dict "root" $root "port" $ready)))) $w.probes.readiness) | nindent 8 }}
      {{- if and (gt (int $w.preStopSleepSeconds) 0) (semverCompare ">=1.30.0-0" $root.Capabilities.KubeVersion.Version) }}
      lifecycle: {preStop: {sleep: {seconds: {{ $w.preStopSleepSeconds }}}}}
      {{- end }}
      resources: {{- toYaml $w.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/flamelake/config, readOnly: true}
        - {name: overrides, mountPath: /etc/flamelake/overrides, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        {{- if or $w.persistence.enabled (eq $backend "in-memory") }}
        - {name: data, mountPath: /data}
        {{- end }}
        {{- if include "flamelake.storageSecret" $root }}
        - {name: storage, mountPath: /etc/flamelake/storage, readOnly: true}
        {{- end }}
        {{- if and $etcd (not $root.Values.trial.etcd.enabled) $own.existingSecret.name }}
        - {name: etcd-user, mountPath: /etc/flamelake/etcd-user, readOnly: true}
        {{- end }}
        {{- if and $etcd (not $root.Values.trial.etcd.enabled) $own.tls.existingSecret }}
        - {name: etcd-tls, mountPath: /etc/flamelake/etcd-tls, readOnly: true}
        {{- end }}
        {{- range $port := list "public" "admin" "internal" }}
        {{- if (get $root.Values.tls $port).existingSecret }}
        - {name: tls-{{ $port }}, mountPath: /etc/flamelake/tls-{{ $port }}, readOnly: true}
        {{- end }}
        {{- end }}
        {{- if $root.Values.tokens.existingSecret.name }}
        - {name: tokens, mountPath: /etc/flamelake/tokens, readOnly: true}
        {{- end }}
        {{- with $w.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
  volumes:
    - {name: config, configMap: {name: {{ include "flamelake.fullname" $root }}-config}}
    - {name: overrides, configMap: {name: {{ include "flamelake.fullname" $root }}-overrides}}
    - {name: tmp, emptyDir: {}}
    {{- if and (eq $backend "in-memory") (not $w.persistence.enabled) }}
    - {name: data, emptyDir: {}}
    {{- end }}
    {{- with include "flamelake.storageSecret" $root }}{{ . | nindent 4 }}{{ end }}
    {{- if and $etcd (not $root.Values.trial.etcd.enabled) $own.existingSecret.name }}
    - {name: etcd-user, secret: {secretName: {{ $own.existingSecret.name }}, items: [{key: {{ $own.existingSecret.passwordKey }}, path: password}]}}
    {{- end }}
    {{- if and $etcd (not $root.Values.trial.etcd.enabled) $own.tls.existingSecret }}
    - {name: etcd-tls, secret: {secretName: {{ $own.tls.existingSecret }}}}
    {{- end }}
    {{- range $port := list "public" "admin" "internal" }}
    {{- with (get $root.Values.tls $port).existingSecret }}
    - {name: tls-{{ $port }}, secret: {secretName: {{ . }}}}
    {{- end }}
    {{- end }}
    {{- with $root.Values.tokens.existingSecret.name }}
    - {name: tokens, secret: {secretName: {{ . }}}}
    {{- end }}
    {{- with $w.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end }}

{{/* The volume with the bucket's secret, or nothing where the pods' identity serves. */}}
{{- define "flamelake.storageSecret" -}}
{{- $backend := include "flamelake.backend" . -}}
{{- if and (eq $backend "s3") (include "flamelake.s3SecretName" .) -}}
- {name: storage, secret: {secretName: {{ include "flamelake.s3SecretName" . }}, items: [{key: {{ ternary "secret-access-key" .Values.storage.s3.existingSecret.secretAccessKeyKey .Values.trial.s3.enabled }}, path: secret-access-key}]}}
{{- else if and (eq $backend "gcs") .Values.storage.gcs.existingSecret.name -}}
- {name: storage, secret: {secretName: {{ .Values.storage.gcs.existingSecret.name }}, items: [{key: {{ .Values.storage.gcs.existingSecret.key }}, path: service-account.json}]}}
{{- else if and (eq $backend "azure") .Values.storage.azure.existingSecret.name -}}
- {name: storage, secret: {secretName: {{ .Values.storage.azure.existingSecret.name }}, items: [{key: {{ .Values.storage.azure.existingSecret.key }}, path: account-key}]}}
{{- end -}}
{{- end }}
