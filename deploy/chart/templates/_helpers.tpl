{{/* Names, labels, and what both Deployments and the Job share. */}}

{{- define "trickle.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "component" "auth") */}}
{{- define "trickle.name" -}}
{{ include "trickle.fullname" .root }}-{{ .component }}
{{- end -}}

{{- define "trickle.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* (dict "root" $ "component" "auth" "extra" .Values.auth.podLabels): each name once, what is given
     before what is ours, but never what pods are selected by. */}}
{{- define "trickle.labels" -}}
{{- $ours := dict
      "app.kubernetes.io/version" .root.Chart.AppVersion
      "app.kubernetes.io/part-of" "trickle"
      "app.kubernetes.io/managed-by" .root.Release.Service
      "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") }}
{{- toYaml (mergeOverwrite $ours .root.Values.commonLabels (default dict .extra) (include "trickle.selector" . | fromYaml)) }}
{{- end -}}

{{/* (dict "root" $ "image" .Values.auth.image) */}}
{{- define "trickle.image" -}}
{{- $at := printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- if .image.digest -}}{{- $at = printf "%s@%s" .image.repository .image.digest -}}{{- end -}}
{{- with .root.Values.image.registry -}}{{ . }}/{{- end -}}{{ $at }}
{{- end -}}

{{/* (dict "root" $ "component" "auth" "account" .Values.auth.serviceAccount) */}}
{{- define "trickle.serviceAccountName" -}}
{{- if .account.create -}}
{{ default (include "trickle.name" .) .account.name }}
{{- else -}}
{{ default "default" .account.name }}
{{- end -}}
{{- end -}}

{{/* Restricted pod security: https://kubernetes.io/docs/concepts/security/pod-security-standards/ */}}
{{- define "trickle.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "trickle.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What a service has in hand may last a script's deadline; publishing and settling it, 10 s more. */}}
{{- define "trickle.drainSeconds" -}}
{{ add (int .Values.scriptDeadlineSeconds) 10 }}
{{- end -}}

{{/* A stopping replica of auth answers on for so long, no longer ready, until balancers have noticed. */}}
{{- define "trickle.shutdownDelay" -}}
5
{{- end -}}

{{/* The grace period leaves the drain its time, and 5 s to be noticed and to close. */}}
{{- define "trickle.graceSeconds" -}}
{{ add (include "trickle.drainSeconds" . | int) 5 }}
{{- end -}}

{{/* Environment as a list, each name once: (dict "env" $map "extra" .Values.auth.extraEnv).
     Server-side apply refuses a name that stands twice, so what is given replaces ours. */}}
{{- define "trickle.env" -}}
{{- range $name, $value := mergeOverwrite (deepCopy .env) .extra }}
- name: {{ $name }}
{{- if kindIs "map" $value }}
  {{- toYaml $value | nindent 2 }}
{{- else }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Secrets as files, so that no process has them in its environment: (list of (dict "file" "DATABASE_URL" "from" {name, key})) */}}
{{- define "trickle.secretsVolume" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
    {{- range . }}
    {{- if .from.name }}
      - secret:
          name: {{ .from.name }}
          items: [{key: {{ .from.key }}, path: {{ .file }}}]
    {{- end }}
    {{- end }}
{{- end -}}

{{- define "trickle.spread" -}}
{{- range $topology := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $topology }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "trickle.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}

{{/* Liveness asks the event loop alone: an outage of broker or database must not restart the fleet. */}}
{{- define "trickle.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{/* A rule of a NetworkPolicy for one of its destinations, {to, ports}. */}}
{{- define "trickle.egress" -}}
- to: {{- toYaml .to | nindent 4 }}
  ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{/* What would only be noticed at run time is refused while rendering. */}}
{{- define "trickle.validate" -}}
{{- if not (hasSuffix "/" .Values.issuer) -}}
{{- fail "issuer must end with a slash: it is `iss` of every token, e.g. https://login.example.com/" -}}
{{- end -}}
{{- if and .Values.ingress.enabled .Values.httpRoute.enabled -}}
{{- fail "ingress and httpRoute are both enabled: choose one" -}}
{{- end -}}
{{- if and (eq .Values.scriptWorker.egress.default "deny") (not (has .Values.scriptWorker.isolationRequired (list "" "full"))) -}}
{{- fail "scriptWorker.egress.default: deny takes the isolation level full: isolationRequired can't be less" -}}
{{- end -}}
{{- range $name, $part := dict "auth" .Values.auth "scriptWorker" .Values.scriptWorker -}}
{{- if and $part.autoscaling.enabled (gt (int $part.autoscaling.minReplicas) (int $part.autoscaling.maxReplicas)) -}}
{{- fail (printf "%s.autoscaling: minReplicas is above maxReplicas" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
