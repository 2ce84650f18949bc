"""All that the page says, in the languages that it speaks.

What is wrong with a file is told in English in all of them, as on the command line.
"""

# ruff: noqa: E501 # Characters of Japanese and Chinese count double.

from collections.abc import Mapping, Sequence

from xser_brain.models.card import language_name

ENGLISH = "en"
TEXTS: dict[str, dict[str, str]] = {
    ENGLISH: {
        "title": "Speech emotion recognition",
        "notice": "A model trained on {languages} ({corpora}; {utterances} utterances of "
        "{speakers} speakers). It tells {labels} apart by how something is said, and "
        "knows no other emotion and no words.",
        "standin": "Trained on synthetic speech, to try the program out: what it says of "
        "real speech means nothing.",
        "recording": "A recording (up to {megabytes:g} MB and {duration}; removed within a "
        "minute)",
        "other": "A video, or any other file",
        "examples": "Synthetic speech to try it on",
        "blank": "Record something, or choose a file (WAV, FLAC, MP3, M4A, Ogg and most "
        "others): the answer comes here.",
        "listening": "Listening …",
        "none": "No answer",
        "server": "an error of the server's: see its log",
        "gone": "gone: send it again",
        "unsure": "unsure",
        "sure": "Probability {share}.",
        "likely": "Most likely {emotion}, at {share}: below {threshold} nothing is claimed.",
        "audio": "{duration} of audio.",
        "windows": "The mean over {n} windows: see below.",
        "mixed": "It changes: {shares} of the time. See below.",
        "bars": "Probabilities",
        "time": "Share of the time",
        "line": "Over time: probabilities in windows of a few seconds. A click on a part "
        "plays from there.",
        "measured": "On {language} ({target}, {protocol}, n = {n}) it "
        "named {uar} % of each emotion's utterances rightly (mean over emotions, UAR"
        "{interval}; guessing: {chance} %). Its probabilities were off by {error} % there "
        "(expected calibration error).",
        "unheard": "In a language that it has not heard, expect about {uar} % of each "
        "emotion's utterances to be named rightly (UAR; guessing: {chance} %): so much "
        "models made in the same way got on languages left out of their training, "
        "{figures}. On those that it was trained on it does better.",
        "trust": "**How far to trust it.** {figures} Below {threshold} % it says "
        "*{unsure}*. Other "
        "languages, rooms, microphones and spontaneous speech may be harder. Each "
        "recording is judged by itself: nothing is adapted to those given, which would "
        "be another protocol than zero-shot.\n\nWhat a voice expresses is not what a "
        "person feels: not for judging people.",
        "interval": "; 95 % interval over {unit} {low} to {high} %",
        "speakers": "speakers",
        "utterances": "utterances",
        "synthetic": "synthetic {language}",
        "model": "Model: {name}",
        "and": " and ",
        "comma": ", ",
    },
    "de": {
        "title": "Emotionen in gesprochener Sprache",
        "notice": "Ein Modell, trainiert mit {languages} ({corpora}; {utterances} Äußerungen "
        "von {speakers} Sprechenden). Es unterscheidet {labels} danach, wie etwas gesagt "
        "wird, und kennt weder andere Emotionen noch Wörter.",
        "standin": "Mit künstlicher Sprache trainiert, um das Programm auszuprobieren: Was "
        "es über echte Sprache sagt, bedeutet nichts.",
        "recording": "Eine Aufnahme (bis {megabytes:g} MB und {duration}; wird innerhalb "
        "einer Minute gelöscht)",
        "other": "Ein Video oder eine andere Datei",
        "examples": "Künstliche Sprache zum Ausprobieren",
        "blank": "Nehmen Sie etwas auf oder wählen Sie eine Datei (WAV, FLAC, MP3, M4A, Ogg "
        "und die meisten anderen): Die Antwort erscheint hier.",
        "listening": "Hört zu …",
        "none": "Keine Antwort",
        "server": "ein Fehler des Servers: siehe dessen Protokoll",
        "gone": "nicht mehr da: bitte noch einmal senden",
        "unsure": "unsicher",
        "sure": "Wahrscheinlichkeit {share}.",
        "likely": "Am ehesten {emotion}, mit {share}: unter {threshold} wird nichts "
        "behauptet.",
        "audio": "{duration} Ton.",
        "windows": "Das Mittel über {n} Fenster: siehe unten.",
        "mixed": "Es wechselt: {shares} der Zeit. Siehe unten.",
        "bars": "Wahrscheinlichkeiten",
        "time": "Anteil der Zeit",
        "line": "Im Verlauf: Wahrscheinlichkeiten in Fenstern von einigen Sekunden. Ein "
        "Klick auf einen Abschnitt spielt von dort an.",
        "measured": "Auf {language} ({target}, {protocol}, "
        "n = {n}) benannte es {uar} % der Äußerungen jeder Emotion richtig (Mittel über "
        "die Emotionen, UAR{interval}; geraten: {chance} %). Seine Wahrscheinlichkeiten "
        "lagen dort um {error} % daneben (erwarteter Kalibrierungsfehler).",
        "unheard": "In einer Sprache, die es nicht gehört hat, sind etwa {uar} % der "
        "Äußerungen jeder Emotion richtig zu erwarten (UAR; geraten: {chance} %): So viel "
        "erreichten ebenso erzeugte Modelle in Sprachen, die in ihrem Training fehlten, "
        "{figures}. In denen, mit denen es trainiert wurde, ist es besser.",
        "trust": "**Wie weit man ihm trauen kann.** {figures} Unter "
        "{threshold} % sagt es *{unsure}*. Andere Sprachen, Räume, Mikrofone und "
        "spontane Sprache können schwerer sein. Jede Aufnahme wird für sich beurteilt: "
        "Nichts wird an die gegebenen angepasst; das wäre ein anderes Protokoll als "
        "zero-shot.\n\nWas eine Stimme ausdrückt, ist nicht, was ein Mensch fühlt: nicht "
        "zur Beurteilung von Menschen.",
        "interval": "; 95-%-Intervall über {unit} {low} bis {high} %",
        "speakers": "Sprechende",
        "utterances": "Äußerungen",
        "synthetic": "künstlichem {language}",
        "model": "Modell: {name}",
        "and": " und ",
        "comma": ", ",
    },
    "ja": {
        "title": "音声感情認識",
        "notice": "{languages}で学習したモデルです（{corpora}、話者{speakers}人の{utterances}発話）。"
        "話し方から{labels}を区別します。ほかの感情や言葉の意味は扱いません。",
        "standin": "プログラムを試すため、合成音声で学習しています。実際の音声に対する答えに意味はありません。",
        "recording": "録音（{megabytes:g} MB、{duration}まで。1分以内に削除されます）",
        "other": "動画、その他のファイル",
        "examples": "試すための合成音声",
        "blank": "録音するか、ファイル（WAV、FLAC、MP3、M4A、Oggなど）を選んでください。"
        "答えはここに表示されます。",
        "listening": "聞いています…",
        "none": "答えられません",
        "server": "サーバーのエラーです（ログを参照）",
        "gone": "もうありません。もう一度送ってください",
        "unsure": "不確か",
        "sure": "確率は{share}。",
        "likely": "最も可能性が高いのは{emotion}（{share}）。{threshold}未満では断定しません。",
        "audio": "音声の長さ：{duration}。",
        "windows": "{n}区間の平均です（下を参照）。",
        "mixed": "途中で変わります。時間の割合：{shares}（下を参照）。",
        "bars": "確率",
        "time": "時間の割合",
        "line": "時間変化：数秒ごとの確率。区間をクリックすると、そこから再生します。",
        "measured": "{language}（{target}、{protocol}、n = {n}）では、各感情の発話の"
        "{uar} %を正しく答えました（感情ごとの平均、UAR{interval}。当て推量：{chance} %）。"
        "確率の誤差は{error} %でした（期待較正誤差）。",
        "unheard": "学習していない言語では、各感情の発話の約{uar} %が正しく答えられると見込まれます"
        "（UAR。当て推量：{chance} %）。これは、同じ方法で作ったモデルが、学習から除いた言語で得た値です"
        "（{figures}）。学習した言語ではこれより良くなります。",
        "trust": "**どこまで信頼できるか。** {figures}{threshold} %未満では「{unsure}」と答えます。"
        "ほかの言語、部屋、マイク、自発的な発話ではより難しいことがあります。録音は一つずつ判定され、"
        "与えられた録音への適応は行いません（適応すればゼロショットではなくなります）。\n\n"
        "声が表すものは、その人が感じていることと同じではありません。人の評価には使わないでください。",
        "interval": "、{unit}についての95 %区間 {low}～{high} %",
        "speakers": "話者",
        "utterances": "発話",
        "synthetic": "合成された{language}",
        "model": "モデル：{name}",
        "and": "、",
        "comma": "、",
    },
    "zh": {
        "title": "语音情感识别",
        "notice": "该模型用{languages}训练（{corpora}；{speakers}位说话人的{utterances}条语句）。"
        "它根据说话的方式区分{labels}，不识别其他情感，也不理解词语。",
        "standin": "仅为试用程序而用合成语音训练：它对真实语音的回答没有意义。",
        "recording": "录音（不超过{megabytes:g} MB、{duration}；一分钟内删除）",
        "other": "视频或其他文件",
        "examples": "供试用的合成语音",
        "blank": "请录音或选择文件（WAV、FLAC、MP3、M4A、Ogg等）：结果显示在这里。",
        "listening": "正在听…",
        "none": "没有结果",
        "server": "服务器出错：请查看其日志",
        "gone": "文件已不存在：请重新发送",
        "unsure": "不确定",
        "sure": "概率{share}。",
        "likely": "最可能是{emotion}（{share}）：低于{threshold}时不作判断。",
        "audio": "音频长{duration}。",
        "windows": "为{n}个窗口的平均值：见下。",
        "mixed": "情感有变化，所占时间：{shares}。见下。",
        "bars": "概率",
        "time": "所占时间",
        "line": "随时间变化：每几秒一个窗口的概率。点击某一段即从该处播放。",
        "measured": "在{language}上（{target}，{protocol}，n = {n}），它正确识别了每种情感"
        "{uar} %的语句（各情感的平均值，UAR{interval}；随机猜测：{chance} %）。其概率的偏差为{error} %"
        "（期望校准误差）。",
        "unheard": "对于未听过的语言，预计每种情感约有{uar} %的语句被正确识别（UAR；随机猜测：{chance} %）："
        "这是以同样方式训练的模型在训练时排除的语言上的结果（{figures}）。在训练过的语言上会更好。",
        "trust": "**可信程度。** {figures}低于{threshold} %时回答“{unsure}”。其他语言、房间、麦克风和自发语音可能更难。"
        "每段录音单独判断，不对所给录音作任何适应（否则就不是零样本）。\n\n"
        "声音所表达的并不等于人的感受：请勿用于评判他人。",
        "interval": "；按{unit}的95 %区间 {low}–{high} %",
        "speakers": "说话人",
        "utterances": "语句",
        "synthetic": "合成的{language}",
        "model": "模型：{name}",
        "and": "和",
        "comma": "、",
    },
}
EMOTIONS = {
    "de": "neutral fröhlich wütend traurig ängstlich angeekelt überrascht gelangweilt ruhig",
    "ja": "平静 喜び 怒り 悲しみ 恐れ 嫌悪 驚き 退屈 穏やか",
    "zh": "中性 高兴 愤怒 悲伤 恐惧 厌恶 惊讶 无聊 平静",
}
NAMED = [
    "neutral",
    "happy",
    "angry",
    "sad",
    "fear",
    "disgust",
    "surprise",
    "boredom",
    "calm",
]
# Names of languages, of those that corpora are in.
CODES = [
    "am",
    "ar",
    "bn",
    "de",
    "el",
    "en",
    "es",
    "et",
    "fa",
    "fr",
    "id",
    "it",
    "ja",
    "kk",
    "kn",
    "ko",
    "pl",
    "pt",
    "ru",
    "th",
    "tr",
    "ur",
    "zh",
]
LANGUAGES = {
    "de": "Amharisch Arabisch Bengalisch Deutsch Griechisch Englisch Spanisch Estnisch "
    "Persisch Französisch Indonesisch Italienisch Japanisch Kasachisch Kannada Koreanisch "
    "Polnisch Portugiesisch Russisch Thailändisch Türkisch Urdu Chinesisch",
    "ja": "アムハラ語 アラビア語 ベンガル語 ドイツ語 ギリシャ語 英語 スペイン語 エストニア語 ペルシャ語 "
    "フランス語 インドネシア語 イタリア語 日本語 カザフ語 カンナダ語 韓国語 ポーランド語 ポルトガル語 "
    "ロシア語 タイ語 トルコ語 ウルドゥー語 中国語",
    "zh": "阿姆哈拉语 阿拉伯语 孟加拉语 德语 希腊语 英语 西班牙语 爱沙尼亚语 波斯语 法语 印度尼西亚语 "
    "意大利语 日语 哈萨克语 卡纳达语 韩语 波兰语 葡萄牙语 俄语 泰语 土耳其语 乌尔都语 汉语",
}


def chosen(query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """The language of a visitor: ``?lang=de``, or else what the browser asks for.

    Arguments
    ---------
    query, headers : mapping of str to str
        Of a request.

    Returns
    -------
    str
        A key of ``TEXTS``; English where none is known.

    Example
    -------
    >>> chosen({}, {"accept-language": "fr, ja;q=0.5, de;q=0.7"})
    'de'
    >>> chosen({"lang": "zh"}, {"accept-language": "ja"})
    'zh'
    """
    wanted = [(1.0, query.get("lang", ""))]
    if wanted[0][1].lower() not in TEXTS:
        wanted = []
        for item in headers.get("accept-language", "").split(","):
            name, _, weight = item.partition(";q=")
            try:
                wanted.append((float(weight or 1), name.strip()))
            except ValueError:
                continue
        wanted.sort(key=lambda pair: -pair[0])
    for _, name in wanted:
        code = name.lower().partition("-")[0]
        if code in TEXTS:
            return code
    return ENGLISH


def text(language: str, name: str, /, **values: object) -> str:
    """A text in a language, with values put in."""
    return TEXTS[language][name].format(**values)


def emotion(language: str, label: str) -> str:
    """A label in a language; labels that nobody knows stay as they are.

    Example
    -------
    >>> emotion("de", "happy"), emotion("de", "unsure"), emotion("ja", "pride")
    ('fröhlich', 'unsicher', 'pride')
    """
    if label == "unsure":
        return TEXTS[language]["unsure"]
    words = dict(zip(NAMED, EMOTIONS.get(language, "").split(), strict=False))
    return words.get(label, label)


def spoken(language: str, code: str) -> str:
    """The name of a language, in English where it is not in the table.

    Example
    -------
    >>> spoken("de", "ur"), spoken("en", "ur"), spoken("de", "sw")
    ('Urdu', 'Urdu', 'Swahili')
    """
    words = dict(zip(CODES, LANGUAGES.get(language, "").split(), strict=False))
    return words.get(code) or language_name(code)


def listed(language: str, words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = words
    if not first:
        return last
    return TEXTS[language]["comma"].join(first) + TEXTS[language]["and"] + last
