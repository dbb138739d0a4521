{{- /*
What several templates have to agree about. There is one mesh in a cluster, so names are fixed: the second installation fails
because the first one owns them, and does no harm.
*/ -}}

{{- define "culvert.control" -}}culvert-control{{- end -}}
{{- define "culvert.agent" -}}culvert-agent{{- end -}}
{{- define "culvert.node" -}}culvert-node{{- end -}}

{{- /* The account the control plane trusts is the account node proxies run as: both are this. */ -}}
{{- define "culvert.node.account" -}}culvert-node{{- end -}}
{{- define "culvert.node.trusted" -}}
{{- prepend .Values.control.moreTrustedNodeAccounts (printf "%s/%s" .Release.Namespace (include "culvert.node.account" .)) | join "," -}}
{{- end -}}

{{- define "culvert.control.host" -}}{{ include "culvert.control" . }}.{{ .Release.Namespace }}.svc{{- end -}}

{{- define "culvert.namespaces.excluded" -}}
{{- append .Values.excludeNamespaces .Release.Namespace | uniq | join "," -}}
{{- end -}}

{{- /* Which pods are in the mesh: agents capture them, and the control plane gives them identities. Both are told the same. */ -}}
{{- define "culvert.membership.env" -}}
{{- range $program, $env := dict "agent" .Values.agent.env "control" .Values.control.env }}
{{- range $name, $value := dict "EXCLUDE_NAMESPACES" "excludeNamespaces" "AMBIENT_ENABLEMENT_SELECTOR" "agent.enablementSelectors" }}
{{- if hasKey $env $name }}{{ fail (printf "%s.env.%s: agents and the control plane have to agree on who is in the mesh, or pods are captured without an identity; say it to both by the value %s" $program $name $value) }}{{ end }}
{{- end }}
{{- end }}
- {name: EXCLUDE_NAMESPACES, value: {{ include "culvert.namespaces.excluded" . | quote }}}
{{- with .Values.agent.enablementSelectors }}
- {name: AMBIENT_ENABLEMENT_SELECTOR, value: {{ toYaml . | quote }}}
{{- end }}
{{- end -}}

{{- /* In: a dict of root and name. */ -}}
{{- define "culvert.labels" -}}
{{ include "culvert.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: culvert
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* Never changes: selectors of workloads cannot. */ -}}
{{- define "culvert.selector" -}}
app.kubernetes.io/name: {{ .name }}
{{- end -}}

{{- /* Filled where the API server can check objects by expressions. */ -}}
{{- define "culvert.validation.known" -}}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}yes{{ end -}}
{{- end -}}
