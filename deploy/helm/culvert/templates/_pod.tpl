{{- /*
What pods of all programs have in common. In: a dict of root, name (of the program), and its values.
*/ -}}

{{- define "culvert.image" -}}
{{- $image := .root.Values.image -}}
{{- .values.image | default (printf "%s/%s:%s" $image.hub .name ($image.tag | default .root.Chart.AppVersion)) -}}
{{- end -}}

{{- /* Metadata of a pod. Settings are in the pod's own template, so that a change of any of them replaces the pods. */ -}}
{{- define "culvert.pod.metadata" -}}
labels:
  {{- /* `app` is what `culvert --kube-node` finds node proxies by. */}}
  {{- $ours := dict "app" .name "istio.io/dataplane-mode" "none" "sidecar.istio.io/inject" "false" }}
  {{- merge $ours (include "culvert.labels" . | fromYaml) .values.podLabels | toYaml | nindent 2 }}
annotations:
  {{- $scraped := dict "prometheus.io/scrape" "true" "prometheus.io/port" (.port | toString) "prometheus.io/path" "/metrics" }}
  {{- merge (dict) .values.podAnnotations $scraped (.annotations | default dict) | toYaml | nindent 2 }}
{{- end -}}

{{- define "culvert.pod.placement" -}}
priorityClassName: {{ .values.priorityClassName }}
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
# Or every Service of the namespace would put variables of its own among the settings.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
nodeSelector:
  {{- merge (dict "kubernetes.io/os" "linux") .values.nodeSelector | toYaml | nindent 2 }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /*
Environment: what the chart sets, unless the user does. In: a dict of ours (YAML of a list) and theirs (a map).
*/ -}}
{{- define "culvert.env" -}}
{{- $theirs := .theirs -}}
{{- range .ours | fromYamlArray }}
{{- if not (hasKey $theirs .name) }}
- {{ toYaml . | nindent 2 | trim }}
{{- end }}
{{- end }}
{{- range $name, $value := $theirs }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- /* What the downward API knows. In: a list of names. */ -}}
{{- define "culvert.env.downward" -}}
{{- $paths := dict "NODE_NAME" "spec.nodeName" "POD_NAME" "metadata.name" "POD_NAMESPACE" "metadata.namespace" "INSTANCE_IP" "status.podIP" "SERVICE_ACCOUNT" "spec.serviceAccountName" -}}
{{- range . }}
- name: {{ . }}
  valueFrom: {fieldRef: {apiVersion: v1, fieldPath: {{ get $paths . }}}}
{{- end }}
{{- end -}}

{{- define "culvert.env.log" -}}
- {name: RUST_LOG, value: {{ .Values.logging.level | quote }}}
- {name: LOG_FORMAT, value: {{ .Values.logging.format | quote }}}
{{- end -}}

{{- /* Where OpenShift's SELinux policy would keep a program from the host's namespaces and files. */ -}}
{{- define "culvert.selinux" -}}
{{- if eq .Values.platform "openshift" }}
seLinuxOptions: {type: spc_t}
{{- end }}
{{- end -}}
