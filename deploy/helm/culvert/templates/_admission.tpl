{{- /*
What expressions of admission policies have in common.
*/ -}}

{{- /*
A condition: one of our accounts asks. Nobody else is ever judged, whatever else a policy says. In: a dict of root and account.
*/ -}}
{{- define "culvert.cel.by" -}}
has(request.userInfo.username) && request.userInfo.username == 'system:serviceaccount:{{ .root.Release.Namespace }}:{{ .account }}'
{{- end -}}

{{- /* A CEL expression: none of these fields changes. In: a list of paths, whose parents are always there. */ -}}
{{- define "culvert.cel.same" -}}
{{- $each := list -}}
{{- range . }}{{ $each = append $each (printf "(has(object.%[1]s) == has(oldObject.%[1]s) && (!has(object.%[1]s) || object.%[1]s == oldObject.%[1]s))" .) }}{{ end -}}
{{ join " &&\n" $each }}
{{- end -}}

{{- /* What says where somebody is who shows a token of a pod: the API server, which has it signed. */ -}}
{{- define "culvert.cel.nodes" -}}
{{- $key := "'authentication.kubernetes.io/node-name'" -}}
has(request.userInfo.extra) && {{ $key }} in request.userInfo.extra ? request.userInfo.extra[{{ $key }}] : []
{{- end -}}

{{- /*
How many nodes a token has to name: one. Before Kubernetes 1.32 that it does can be switched off for a cluster, which is seen by there
being none; nobody can take it out of a token that has it.
*/ -}}
{{- define "culvert.cel.nodes.unknown" -}}
{{- if not (semverCompare ">=1.32.0-0" .Capabilities.KubeVersion.Version) }}size(variables.nodes) == 0 || {{ end -}}
{{- end -}}

{{- /* Filled where accounts are held to what the programs do. */ -}}
{{- define "culvert.confined" -}}
{{- if and .Values.confinement.enabled (include "culvert.validation.known" .) }}yes{{ end -}}
{{- end -}}

{{- /* Metadata that means something to somebody, annotations left out. */ -}}
{{- define "culvert.metadata.others" -}}
- metadata.generateName
- metadata.labels
- metadata.finalizers
- metadata.ownerReferences
{{- end -}}
