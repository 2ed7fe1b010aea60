"""Which operations of a foreign graph BPrune runs.

A graph is a program that strangers wrote. Two rules keep it harmless. What is to be run, function bodies included,
must be on the list of allowed operations. And a file that holds an operation which writes files, opens connections or
calls Python is refused even where that operation is not on the way from input to output; the saver and the readers
of an input pipeline may be there, as they are never run. `--trust-graph` lifts both rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bprune.errors import RefusedGraphError

__all__ = ["ALLOWED", "CALLS", "HARMFUL", "called_functions", "check_harmless", "check_runnable"]

ALLOWED = frozenset(
    # arithmetic
    "Abs Acos Acosh Add AddN AddV2 ArgMax ArgMin Asin Asinh Atan Atan2 Atanh Cast Ceil ClipByValue Cos Cosh Cumsum "
    "Digamma Div DivNoNan Equal Erf Erfc Erfinv Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual Igamma Inv "
    "IsFinite IsInf IsNan Less LessEqual Lgamma LinSpace Log Log1p LogicalAnd LogicalNot LogicalOr Max Maximum Mean "
    "Min Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Pow Prod Range RealDiv Reciprocal Rint Round Rsqrt "
    "Select SelectV2 Sigmoid Sign Sin Sinh Sqrt Square SquaredDifference Sub Sum Tan Tanh TruncateDiv TruncateMod "
    "Xdivy Xlog1py Xlogy All Any BitwiseAnd BitwiseOr BitwiseXor LeftShift RightShift Betainc Zeta Polygamma "
    # linear algebra
    "BatchMatMul BatchMatMulV2 BatchMatMulV3 Cholesky Diag DiagPart Einsum MatMul MatrixBandPart MatrixDiag "
    "MatrixDiagPart MatrixDiagPartV3 MatrixDiagV3 MatrixSetDiag MatrixSetDiagV3 MatrixTriangularSolve "
    # neural networks
    "AvgPool AvgPool3D BiasAdd BiasAddV1 Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 "
    "DepthwiseConv2dNative Elu FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 InTopK InTopKV2 L2Loss LRN LeakyRelu "
    "LogSoftmax MaxPool MaxPool3D MaxPoolV2 Relu Relu6 ResizeBilinear ResizeNearestNeighbor Selu Softmax Softplus "
    "Softsign SoftmaxCrossEntropyWithLogits SparseSoftmaxCrossEntropyWithLogits TopK TopKV2 "
    # arrays
    "BatchToSpace BatchToSpaceND BroadcastArgs BroadcastTo Concat ConcatOffset ConcatV2 Const DepthToSpace "
    "DynamicPartition DynamicStitch EnsureShape ExpandDims ExtractImagePatches Fill Gather GatherNd GatherV2 "
    "GuaranteeConst Identity IdentityN InvertPermutation MirrorPad NoOp OneHot OnesLike Pack Pad PadV2 "
    "ParallelConcat ParallelDynamicStitch Placeholder PlaceholderWithDefault PreventGradient Rank Reshape "
    "ResourceGather "
    "ReverseV2 ReverseSequence ScatterNd Shape ShapeN Size Slice Snapshot SpaceToBatch SpaceToBatchND SpaceToDepth "
    "Split SplitV Squeeze StopGradient StridedSlice TensorScatterUpdate TensorScatterAdd Tile Transpose Unpack Where "
    "ZerosLike Unique UniqueV2 Bucketize "
    # random numbers
    "Multinomial ParameterizedTruncatedNormal RandomGamma RandomPoissonV2 RandomShuffle RandomStandardNormal "
    "RandomUniform RandomUniformInt StatelessMultinomial StatelessRandomGammaV2 StatelessRandomGammaV3 "
    "StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomNormal "
    "StatelessRandomNormalV2 StatelessRandomUniform StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2 "
    "StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessTruncatedNormal "
    "StatelessTruncatedNormalV2 TruncatedNormal "
    # state that is read
    "ReadVariableOp RefIdentity VarIsInitializedOp IsVariableInitialized VariableShape "
    # control flow
    "Assert Case Enter Exit If LoopCond Merge NextIteration PartitionedCall RefMerge RefSwitch StatefulPartitionedCall "
    "StatelessCase StatelessIf StatelessWhile Switch While "
    # lists inside loops (recurrent layers) and what branches keep for a gradient
    "EmptyTensorList OptionalFromValue OptionalNone TensorListElementShape TensorListFromTensor TensorListGetItem "
    "TensorListLength TensorListPushBack TensorListReserve TensorListSetItem TensorListStack".split()
)
"""Operations that a foreign graph may use between input and output: mathematics, arrays, random numbers, state."""

CALLS = frozenset(
    "Case If PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile While".split()
)
"""Allowed operations that run functions of the library; the functions' bodies are checked as well."""

_LOOPS = frozenset({"Enter", "Exit", "LoopCond", "NextIteration"})  # TensorFlow 1 loops; functions have While

HARMFUL = frozenset(
    # files
    "WriteFile WriteGraphSummary WriteAudioSummary WriteHistogramSummary WriteImageSummary WriteRawProtoSummary "
    "WriteScalarSummary WriteSummary CreateSummaryFileWriter CreateSummaryDbWriter SaveDataset SaveDatasetV2 "
    "DatasetToTFRecord DistributedSave DumpTensor DebugIdentity DebugIdentityV2 DebugIdentityV3 DebugNanCount "
    "DebugNumericSummary DebugNumericSummaryV2 ImmutableConst FileSystemSetConfiguration SnapshotDataset "
    "SnapshotDatasetV2 ExperimentalDatasetToTFRecord CalibrationStatisticsSaver "
    # network and other processes
    "RemoteCall RemoteFusedGraphExecute RpcCall RpcClient RpcServer RpcServerStart TryRpc Rpc DataServiceDataset "
    "DataServiceDatasetV2 DataServiceDatasetV3 DataServiceDatasetV4 RegisterDataset RegisterDatasetV2 "
    # Python and the process itself
    "PyFunc PyFuncStateless EagerPyFunc Abort XlaCustomCall XlaCustomCallV2 XlaHostCompute XlaLaunch "
    "XlaLaunchV2".split()
)
"""Operations whose mere presence in a file is refused."""

_HINT = (
    "BPrune does not run such operations from a file. If you wrote this graph yourself and know what they do, pass "
    "--trust-graph (trust_graph=True in Python)."
)


def called_functions(node: Any) -> list[str]:
    """The names of the library functions that a node's attributes name, the attributes of those functions included."""
    names = []
    waiting = list(node.attr.values())
    while waiting:
        value = waiting.pop()
        kind = value.WhichOneof("value")
        functions = [value.func] if kind == "func" else value.list.func if kind == "list" else []
        for function in functions:
            names.append(function.name)
            waiting.extend(function.attr.values())
    return names


def check_harmless(graph_def: Any) -> None:
    """Refuse a GraphDef that holds a harmful operation anywhere, reachable or not.

    Raises:
        RefusedGraphError: Naming the operations and where they are.
    """
    found = [f"{node.op} (operation {node.name!r})" for node in graph_def.node if node.op in HARMFUL]
    for function in graph_def.library.function:
        where = function.signature.name
        found += [f"{node.op} (in function {where!r})" for node in function.node_def if node.op in HARMFUL]
    if found:
        raise RefusedGraphError(f"the graph holds refused operations: {_some(found)}", hint=_HINT)


def check_runnable(nodes: Iterable[Any], library: Any) -> None:
    """Refuse nodes that are not on the allow-list, in the graph or in any function that they call.

    Args:
        nodes: NodeDefs that are to be run.
        library: The graph's FunctionDefLibrary.

    Raises:
        RefusedGraphError: Naming the operations and where they are.
    """
    functions = {function.signature.name: function for function in library.function}
    found: list[str] = []
    seen: set[str] = set()
    waiting: list[tuple[str, Any]] = [("", node) for node in nodes]
    while waiting:
        where, node = waiting.pop()
        place = f"in function {where!r}" if where else f"operation {node.name!r}"
        callees = called_functions(node)
        if node.op in functions:
            callees.append(node.op)
        elif node.op not in ALLOWED or (callees and node.op not in CALLS) or (where and node.op in _LOOPS):
            found.append(f"{node.op} ({place})")
            continue
        for name in callees:
            if name not in functions:
                found.append(f"{node.op} ({place}) of an unknown function {name!r}")
            elif name not in seen:
                seen.add(name)
                waiting.extend((name, inner) for inner in functions[name].node_def)
    if found:
        raise RefusedGraphError(f"the graph runs operations that are not allowed: {_some(sorted(found))}", hint=_HINT)


def _some(found: list[str]) -> str:
    shown = ", ".join(found[:5])
    return shown if len(found) <= 5 else f"{shown} and {len(found) - 5} more"
