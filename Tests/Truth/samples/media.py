"""Pictures, sound and film."""

from sample import disk, family, sample, script

family("media")

SMALL = disk("size=16k")

sample("convert/cut-jpg", "convert-im6.q16 $doc -resize 50% out.png && convert-im6.q16 -regard-warnings $doc out.png",
    "image.truncated", "Premature end of JPEG file|Corrupt JPEG data: premature end", document="cut.jpg")
sample("convert/noise", "convert-im6.q16 $doc out.jpg", "image.broken", "improper image header", document="noise.png")
sample("convert/cut-png", "convert-im6.q16 -regard-warnings $doc out.jpg", "exit.code", "no images defined", document="cut.png")
sample("convert/huge", "convert-im6.q16 $doc out.jpg", "exit.code", "no images defined", document="huge.png")
sample("convert/limits", "convert-im6.q16 -limit memory 1KiB -limit map 1KiB -limit disk 1KiB $doc -resize 4000x4000 out.pdf",
       "limit.image_policy", "cache resources exhausted", document="good.png")
sample("convert/policy", "convert-im6.q16 $doc out.png", "program.policy", "not allowed by the security policy",
    document="good.pdf")
sample("convert/missing", "convert-im6.q16 $doc out.jpg", "input.missing", "No such file or directory", document="missing.png")
sample("convert/format", "convert-im6.q16 $doc out.jpg", "input.unsupported", "no decode delegate", document="noise.bin")
sample("convert/svg", "convert-im6.q16 $doc out.png", "file.missing", "unable to open image|unable to open file",
    document="broken.svg")
sample("convert/full-disk", "convert-im6.q16 $doc /srv/out/out.png", "exit.code", "WriteBlob Failed|unable to write file",
    document="good.png", setup=SMALL)
sample("tiffinfo/noise", "tiffinfo $doc", "image.broken", "Not a TIFF", document="noise.tif")
sample("tiff2pdf/cut", "tiff2pdf -o out.pdf $doc", "image.broken", "Can not read TIFF directory count|Failed to read directory",
    document="cut.tif")

sample("tesseract/language", "tesseract $doc - -l fin", "program.data_missing",
    "Error opening data file|Failed loading language|couldn't load any languages", document="good.png")
sample("tesseract/noise", "tesseract $doc -", "image.broken", "cannot be read!|image file not found", document="noise.png")
sample("tesseract/missing", "tesseract $doc -", "input.missing", "cannot read input file|image file not found",
    document="missing.png")
sample("tesseract/empty", "tesseract $doc -", "image.truncated", "truncated file", document="empty.png")
sample("tesseract/cut-tif", "tesseract $doc -", "image.broken", "cannot be read!|tif not opened|image file not found",
    document="cut.tif")
sample("tesseract/pdf", "tesseract $doc -", "input.unsupported", "Pdf reading is not supported", document="good.pdf")
sample("tesseract/config", "tesseract $doc - --psm 99", "program.usage", "Invalid PSM value", document="good.png")

sample("ffmpeg/cut", "ffmpeg -nostdin -y -i $doc out.wav", "media.broken", "moov atom not found|Invalid data found",
    document="cut.mp4")
sample("ffmpeg/noise", "ffmpeg -nostdin -y -i $doc out.wav", "media.broken",
    "Invalid data found when processing input|moov atom not found", document="noise.mp4")
sample("ffmpeg/mute", "ffmpeg -nostdin -y -i $doc -vn out.wav", "media.no_stream", "does not contain any stream",
    document="mute.mp4")
sample("ffmpeg/empty", "ffmpeg -nostdin -y -i $doc out.wav", "media.broken",
    "Invalid data found when processing input|moov atom not found", document="empty.mp4")
sample("ffmpeg/missing", "ffmpeg -nostdin -y -i $doc out.wav", "input.missing", "No such file or directory", document="missing.mp4")
sample("ffmpeg/codec", "ffmpeg -nostdin -y -i $doc -c:a nothing out.wav", "program.plugin_missing", "Unknown encoder",
    document="good.mp4")
sample("ffmpeg/format", "ffmpeg -nostdin -y -i $doc out.xyz", "program.usage", "Unable to find a suitable output format",
    document="good.mp4")
sample("ffmpeg/full-disk", "ffmpeg -nostdin -y -i $doc -f wav - > /srv/out/out.wav", "disk.full",
    "av_interleaved_write_frame(): No space left on device|Error writing trailer", document="good.mp4", setup=SMALL)
sample("ffmpeg/map", "ffmpeg -nostdin -y -i $doc -map 0:s:0 out.srt", "media.no_stream", "matches no streams", document="good.mp4")
sample("ffmpeg/exists", "touch out.mp4; ffmpeg -nostdin -n -i $doc -c copy out.mp4", "file.exists", "already exists",
    document="good.mp4")
sample("ffmpeg/http", "ffmpeg -nostdin -y -i http://127.0.0.1:8080/status/403 out.wav", "http.403",
    "HTTP error 403 Forbidden|Server returned 403 Forbidden", services=("web",))
sample("ffmpeg/quiet", "ffmpeg -v quiet -nostdin -y -i $doc out.wav", "exit.code", document="noise.mp4")
sample("ffprobe/noise", "ffprobe -v error -show_format $doc", "media.broken",
    "Invalid data found when processing input|moov atom not found", document="noise.mp4")
sample("ffprobe/head", "ffprobe -v error -show_streams $doc", "media.broken", "Invalid data found", document="head.wav")
sample("sox/noise", "sox $doc out.flac", "media.broken", "RIFF header not found", document="noise.wav")
sample("sox/missing", "sox $doc out.flac", "input.missing", "No such file or directory", document="missing.wav")
sample("sox/mp3", "sox $doc out.mp3", "program.plugin_missing", "no handler for", document="good.wav")
sample("exiftool/noise", "exiftool -j $doc", "input.unsupported", "Unknown file type", document="noise.bin")
sample("exiftool/missing", "exiftool -j $doc", "input.missing", "File not found", document="missing.jpg")

PILLOW = """
    import sys

    from PIL import Image

    with Image.open(sys.argv[1]) as image:
        image.convert("L").resize((64, 64)).save("thumb.png")
    """
script("pillow/noise", PILLOW, "image.broken", "UnidentifiedImageError", document="noise.jpg", file="thumb.py")
script("pillow/cut", PILLOW, "image.truncated", "image file is truncated", document="cut.jpg", file="thumb.py")
script("pillow/cut-png", PILLOW, "image.truncated", "image file is truncated", document="cut.png", file="thumb.py")
script("pillow/huge", PILLOW, "image.too_large", "DecompressionBombError", document="huge.png", file="thumb.py")
script("pillow/chunk", PILLOW, "image.broken", "Error", document="crc.png", file="thumb.py")
script("pillow/web-page", PILLOW, "image.broken", "UnidentifiedImageError", document="page.jpg", file="thumb.py")
script("pillow/mode", """
    import sys

    from PIL import Image

    Image.open(sys.argv[1]).convert("RGBA").save("thumb.jpg")
    """, "image.unsupported", "cannot write mode RGBA as JPEG", document="good.png", file="thumb.py")
script("tifffile/noise", """
    import sys

    import tifffile

    print(tifffile.imread(sys.argv[1]).shape)
    """, "image.broken", "TiffFileError", document="noise.tif", file="read.py")
script("pytesseract/language", """
    import sys

    import pytesseract

    print(pytesseract.image_to_string(sys.argv[1], lang="jpn"))
    """, "program.data_missing", "TesseractError", document="good.png", file="ocr.py")
script("pytesseract/missing", """
    import sys

    import pytesseract

    pytesseract.pytesseract.tesseract_cmd = "tesseract5"
    print(pytesseract.image_to_string(sys.argv[1]))
    """, "program.not_found", "TesseractNotFoundError|FileNotFoundError", document="good.png", file="ocr.py")
