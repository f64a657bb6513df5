"""Programs with models: broken weights, shapes that do not fit, memory, workers of a loader that die, no accelerator."""

from sample import family, script

family("models")


def torch(id, text, reason, line="", **more):
    script(f"torch/{id}", text, reason, line, file="embed.py", run=more.pop("run", "/usr/bin/python3"), **{"arguments": "", **more})


torch("no-cuda", "import torch\n\nprint(torch.ones(3, device='cuda'))\n", "gpu.missing", "Torch not compiled with CUDA enabled")
torch("device", "import torch\n\nprint(torch.ones(3, device='gpu:0'))\n", "program.error",
    "RuntimeError: Expected one of cpu, cuda", also=("program.usage",))
torch("weights-noise", "import sys\n\nimport torch\n\ntorch.load(sys.argv[1])\n", "model.broken",
    "_pickle.UnpicklingError: invalid load key", also=("data.broken",), document="noise.bin", name="model-1207.pt",
    arguments="$doc")
torch("weights-cut", """
    import torch

    torch.save({"w": torch.ones(1000, 100)}, "a.pt")
    data = open("a.pt", "rb").read()
    open("b.pt", "wb").write(data[: len(data) // 2])
    torch.load("b.pt")
    """, "model.broken", "PytorchStreamReader failed reading zip archive")
torch("weights-page", "import sys\n\nimport torch\n\ntorch.load(sys.argv[1])\n", "model.broken",
    "UnpicklingError: invalid load key, '<'", also=("data.broken",), document="page.bin", name="model-1208.pt", arguments="$doc")
torch("weights-missing", "import torch\n\ntorch.load('/srv/models/none.pt')\n", "file.missing", "FileNotFoundError")
torch("state", """
    import torch

    model = torch.nn.Linear(4, 2)
    model.load_state_dict(torch.nn.Linear(8, 2).state_dict())
    """, "model.mismatch", "RuntimeError: Error(s) in loading state_dict|size mismatch for weight", also=("program.error",))
torch("shape", "import torch\n\nprint(torch.ones(3, 4) @ torch.ones(3, 4))\n", "program.error",
    "RuntimeError: mat1 and mat2 shapes cannot be multiplied")
torch("dtype", "import torch\n\nprint(torch.nn.Linear(2, 2)(torch.ones(2, dtype=torch.int64)))\n", "program.error",
    "RuntimeError: expected")
torch("memory", "import torch\n\nprint(torch.ones(1 << 30).sum())\n", "memory.refused",
    "DefaultCPUAllocator: can't allocate memory", run="ulimit -v 3000000; exec /usr/bin/python3")
torch("memory-absurd", "import torch\n\nprint(torch.ones(1 << 46).sum())\n", "memory.absurd",
    "DefaultCPUAllocator: can't allocate memory", also=("memory.refused",))
LOADER = """
    import os
    import signal

    import torch
    from torch.utils.data import DataLoader, Dataset


    class Pages(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, page):
            {act}


    for batch in DataLoader(Pages(), num_workers=2):
        print(batch.shape)
    """
torch("loader-killed", LOADER.replace("{act}", "os.kill(os.getpid(), signal.SIGKILL)"), "worker.killed",
    "is killed by signal: Killed|exited unexpectedly", also=("signal.killed",))
torch("loader-segfault", LOADER.replace("{act}", "os.kill(os.getpid(), signal.SIGSEGV)"), "worker.killed",
    "is killed by signal: Segmentation fault|exited unexpectedly|Unexpected segmentation fault encountered in worker",
    also=("signal.segfault",))
torch("loader-error", LOADER.replace("{act}", 'return torch.load(f"/srv/in/page-{page}.pt")'), "file.missing",
    "FileNotFoundError: [Errno 2] No such file or directory")
torch("loader-shm", LOADER.replace("{act}", "return torch.ones(1000, 1000)"), "shared_memory.full",
    "out of shared memory|insufficient shared memory|No space left on device|is killed by signal: Bus error",
    setup="mount -t tmpfs -o size=64k,mode=1777 tmpfs /dev/shm", also=("signal.bus", "disk.full"))
torch("range", "import torch\n\nprint(torch.nn.Embedding(10, 2)(torch.tensor([12])))\n", "program.error",
    "IndexError: index out of range in self")
torch("distributed", """
    import datetime

    import torch.distributed as dist

    dist.init_process_group("gloo", init_method="tcp://127.0.0.1:8098", rank=1, world_size=2, timeout=datetime.timedelta(seconds=1))
    """, "net.timeout", "TimeoutError: The client socket|The client socket", also=("net.refused",))
script("huggingface_hub/offline", """
    from huggingface_hub import hf_hub_download

    hf_hub_download("pages/embed-small", "config.json")
    """, "model.not_cached", "LocalEntryNotFoundError|OfflineModeIsEnabled|ConnectionError|ConnectError", file="load.py",
    arguments="", env={"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:8099"}, also=("net.dns", "file.missing"))
for status, reason in ((401, "http.401"), (404, "http.404")):
    script(f"huggingface_hub/{status}", """
        from huggingface_hub import hf_hub_download

        hf_hub_download("pages/embed-small", "config.json", etag_timeout=1)
        """, reason, f"{status} Client Error|{status} Server Error|'{status} |{status}", file="load.py", arguments="",
        services=("web",), env={"HF_ENDPOINT": f"http://127.0.0.1:8080/status/{status}"},
        also=("model.not_cached", "model.missing"))
script("onnxruntime/noise", """
    import sys

    import onnxruntime

    onnxruntime.InferenceSession(sys.argv[1])
    """, "model.broken", "InvalidProtobuf", document="noise.bin", name="model-2210.onnx", file="load.py")
script("onnxruntime/missing", "import onnxruntime\n\nonnxruntime.InferenceSession('/srv/models/none.onnx')\n", "file.missing",
    "NoSuchFile", file="load.py", arguments="")
script("nltk/data", "import nltk\n\nprint(nltk.word_tokenize('One page. Two pages.'))\n", "program.data_missing",
    "Resource 'punkt|LookupError", file="split.py", arguments="")
