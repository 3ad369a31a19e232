// Words of the page for data where nobody is known to have liked anything: English and German, as
// in strings.js. {verb} is what users did, in English.

export const UNLIKED = {
  "n.liked": [
    "{n} item of the history|{n} items of the history",
    "{n} Artikel aus dem Verlauf|{n} Artikel aus dem Verlauf",
  ],
  "n.likes": ["{n} interaction|{n} interactions", "{n} Interaktion|{n} Interaktionen"],
  "n.likes-learned": [
    "{n} interaction that the model learned from; untick to take it away.|{n} interactions that the model learned from; untick to take one away.",
    "{n} Interaktion, aus der das Modell lernte; Häkchen weg nimmt sie heraus.|{n} Interaktionen, aus denen das Modell lernte; Häkchen weg nimmt eine heraus.",
  ],
  "n.one-by-one": [
    "The item of the history|The {n} items of the history, one by one",
    "Der Artikel aus dem Verlauf|Die {n} Artikel aus dem Verlauf, einzeln",
  ],
  "n.others-together": [
    "{n} other item of the history|The {n} other items of the history together",
    "{n} weiterer Artikel aus dem Verlauf|Die {n} weiteren Artikel aus dem Verlauf zusammen",
  ],
  "key.liked": [
    "through what the user {verb}, joined to this item by a fact",
    "über den Verlauf, durch einen Fakt verbunden",
  ],
  "key.loose": [
    "through what the user {verb}, by learned similarity",
    "über den Verlauf, durch gelernte Ähnlichkeit",
  ],
  "part.liked": ["History, joined by a fact", "Verlauf, durch einen Fakt verbunden"],
  "part.loose": ["History, learned similarity", "Verlauf, gelernte Ähnlichkeit"],
  "part.all-liked": ["Items of the history", "Artikel aus dem Verlauf"],
  "part-what.bias": ["the same whatever the history", "gleich, was immer im Verlauf steht"],
  "liked-item": ["Item of the history", "Artikel aus dem Verlauf"],
  "why-not-lead": [
    "Which further items in the history would raise it most? Each is checked by computing the score again.",
    "Was müsste noch im Verlauf stehen? Jedes wird geprüft, indem die Bewertung neu berechnet wird.",
  ],
  "no-addition": [
    "No further item in the history raises its score.",
    "Kein weiterer Artikel im Verlauf hebt die Bewertung.",
  ],
  "if-liked-too": ["If this were in the history too", "Wenn auch dies im Verlauf stünde"],
  "paths-lead": [
    "By the item that the user {verb} and that they start with. A hop opens its facts.",
    "Nach dem Artikel aus dem Verlauf, mit dem sie beginnen. Ein Schritt öffnet seine Fakten.",
  ],
  "drop.like": ["Interaction", "Interaktion"],
  "drop.both": ["Interaction and facts", "Interaktion und Fakten"],
  "falls.like": [
    "Without the interaction alone the score falls by {value}",
    "Ohne die Interaktion allein fällt die Bewertung um {value}",
  ],
  "falls.facts": [
    "Without the facts alone, the interaction kept, the score falls by {value}",
    "Ohne die Fakten allein, die Interaktion bleibt, fällt die Bewertung um {value}",
  ],
  "falls.both": [
    "Without interaction and facts the score falls by {value}",
    "Ohne Interaktion und Fakten fällt die Bewertung um {value}",
  ],
  "rises.like": [
    "Without the interaction alone the score rises by {value}",
    "Ohne die Interaktion allein steigt die Bewertung um {value}",
  ],
  "rises.facts": [
    "Without the facts alone, the interaction kept, the score rises by {value}",
    "Ohne die Fakten allein, die Interaktion bleibt, steigt die Bewertung um {value}",
  ],
  "rises.both": [
    "Without interaction and facts the score rises by {value}",
    "Ohne Interaktion und Fakten steigt die Bewertung um {value}",
  ],
  "order.like": ["interaction", "Interaktion"],
  "order.drop": ["interaction and facts", "beidem"],
  "all-liked": ["All items of the history", "Der ganze Verlauf"],
  "what-if-lead": [
    "Take interactions or facts away, or add some, and see the list computed again. The model stays as trained; the graph it runs on changes.",
    "Nehmen Sie Interaktionen oder Fakten weg oder fügen Sie etwas hinzu: Die Liste wird neu berechnet. Das Modell bleibt, wie es ist; der Graph ändert sich.",
  ],
  "what-if-lead-likes": [
    "Take interactions away, or add some, and see the list computed again. The model stays as trained.",
    "Nehmen Sie Interaktionen weg oder fügen Sie etwas hinzu: Die Liste wird neu berechnet. Das Modell bleibt, wie es ist.",
  ],
  "what-if-saved": [
    "This file holds one answer. To change interactions and facts, the model must run: kgrec inspect RUN.",
    "Diese Datei enthält eine Antwort. Um Interaktionen und Fakten zu ändern, muss das Modell laufen: kgrec inspect RUN.",
  ],
  "nothing-changed-why": [
    "Untick an interaction or a fact, or let the inspector look for a small set of interactions that changes the top item.",
    "Nehmen Sie ein Häkchen weg, oder lassen Sie eine kleine Menge suchen, die den ersten Artikel ändert.",
  ],
  "smallest-change-lead": [
    "Which interactions, if gone, would put another item at the top? Every answer is checked by computing the whole list again.",
    "Ohne welche Interaktionen stünde ein anderer Artikel oben? Jede Antwort wird geprüft, indem die ganze Liste neu berechnet wird.",
  ],
  "flip-none": [
    "No set of interactions was found that changes the top item.",
    "Es fand sich keine Menge von Interaktionen, die den ersten Artikel ändert.",
  ],
  likes: ["Interactions", "Interaktionen"],
  "liked-items": ["Items of the history", "Artikel aus dem Verlauf"],
  "add-like": ["Add an item to the history", "Artikel zum Verlauf hinzufügen"],
  "pattern-lead": [
    "How far scores fall on average without a path's facts, the interaction kept. Paths share facts: these are no parts of the scores and do not add up.",
    "Wie weit Bewertungen im Mittel ohne die Fakten eines Pfades fallen, die Interaktion bleibt. Pfade teilen Fakten: Das sind keine Teile, sie gehen nicht auf.",
  ],
  "mean-name.like": ["Interaction", "Interaktion"],
  "mean.like": [
    "How far the score falls without the interaction alone, everything computed again.",
    "Wie weit die Bewertung ohne die Interaktion allein fällt, alles neu berechnet.",
  ],
  "mean.facts": [
    "How far it falls without the path's facts alone, while the interaction is kept.",
    "Wie weit sie ohne die Fakten des Pfades fällt, während die Interaktion bleibt.",
  ],
  "mean.drop": [
    "How far it falls without interaction and facts together. Paths share interactions and facts, so drops do not add up.",
    "Wie weit sie ohne beides zusammen fällt. Pfade teilen Interaktionen und Fakten: Rückgänge gehen nicht auf.",
  ],
  "mean-name.liked": ["Items of the history", "Artikel aus dem Verlauf"],
  "mean.liked": [
    "The part of the score that comes through each item the user {verb}; the parts add up exactly.",
    "Was über jeden Artikel aus dem Verlauf kommt; die Teile gehen genau auf.",
  ],
  "mean.supported": [
    "The piece of the history's part where an item of it is joined to this item by a fact, or shares a neighbor with it.",
    "Das Stück davon, wo ein Artikel aus dem Verlauf durch einen Fakt oder einen gemeinsamen Nachbarn verbunden ist.",
  ],
  "mean.loose": [
    "The rest of the history's part: nodes that the model finds alike though no short path joins them.",
    "Der Rest davon: Knoten, die das Modell ähnlich findet, obwohl kein kurzer Pfad sie verbindet.",
  ],
  "mean.pattern": [
    "How far scores fall on average without the facts of a path of this pattern, the interaction kept. It is another question than what a relation carries.",
    "Wie weit Bewertungen im Mittel ohne die Fakten eines solchen Pfades fallen. Eine andere Frage als die, was eine Relation trägt.",
  ],
};
