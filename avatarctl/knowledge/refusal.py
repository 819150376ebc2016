"""What is said when documents hold no answer, whoever was asked for it."""

NOT_FOUND = {
    "ru": "В моих документах нет ответа на этот вопрос.",
    "en": "My documents hold no answer to this question.",
}
NO_DOCUMENTS = {
    "ru": "У меня пока нет документов, из которых я могу взять ответ.",
    "en": "I have no documents to answer from yet.",
}
