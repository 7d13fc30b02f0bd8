"""What a user may say next: six sides of an answer's quality, ten pleased and ten displeased remarks each.

Written for this project. Changing one changes what the follow-up judge answers: raise its version with it.
"""

from typing import NamedTuple


class Remarks(NamedTuple):
    """Ten remarks of a pleased user and ten of a displeased one."""

    pleased: tuple[str, ...]
    displeased: tuple[str, ...]


REMARKS: dict[str, Remarks] = {
    "understanding": Remarks(
        (
            "Yes, that is what I meant.",
            "You understood my question perfectly.",
            "Exactly, you got what I was after.",
            "Good, you saw what my problem was.",
            "You read my question the right way.",
            "That is just how I meant it.",
            "You clearly understood what I need.",
            "Right, that was my point.",
            "You grasped my situation at once.",
            "I am glad that you understood me.",
        ),
        (
            "No, that is not what I meant.",
            "You misunderstood my question.",
            "I think you got me wrong.",
            "You did not see what my problem was.",
            "Please read my question again.",
            "That is not how I meant it.",
            "You clearly did not understand what I need.",
            "No, you missed my point.",
            "You do not grasp my situation.",
            "I do not think that you understood me.",
        ),
    ),
    "relevance": Remarks(
        (
            "That answers my question.",
            "This is exactly on topic.",
            "That is the thing I asked about.",
            "Good, you stayed with my question.",
            "Everything you said matters for my question.",
            "This is just what I wanted to know.",
            "That fits my question very well.",
            "You kept to the point, thank you.",
            "Yes, this is about what I asked.",
            "That deals with my question directly.",
        ),
        (
            "That does not answer my question.",
            "This is off topic.",
            "That is not what I asked about.",
            "Why do you talk about something else?",
            "What does this have to do with my question?",
            "This is not what I wanted to know.",
            "That does not fit my question at all.",
            "Please keep to the point.",
            "No, I asked about something different.",
            "You went around my question.",
        ),
    ),
    "correctness": Remarks(
        (
            "That is correct.",
            "I checked it, and you are right.",
            "Everything you said is true.",
            "Yes, that agrees with what I know.",
            "That worked, so it must be right.",
            "I found no mistake in your answer.",
            "Your facts are right.",
            "That is accurate, thank you.",
            "Yes, the result is right.",
            "I can trust this answer.",
        ),
        (
            "That is not correct.",
            "I checked it, and you are wrong.",
            "What you said is not true.",
            "No, that contradicts what I know.",
            "That did not work, so it must be wrong.",
            "There is a mistake in your answer.",
            "Your facts are wrong.",
            "That is inaccurate, please check it.",
            "No, the result is wrong.",
            "I cannot trust this answer.",
        ),
    ),
    "engagingness": Remarks(
        (
            "That is interesting, tell me more.",
            "I enjoyed reading that.",
            "Great, let us go on.",
            "I like how you put it.",
            "Now I am curious about the rest.",
            "That was fun to read.",
            "I could talk about this for hours.",
            "You make this sound exciting.",
            "Lovely, I would like to hear more.",
            "It is a pleasure to talk with you.",
        ),
        (
            "That is boring.",
            "I did not enjoy reading that.",
            "Let us stop here.",
            "I do not like how you put it.",
            "I lost interest halfway through.",
            "That was tiring to read.",
            "I do not want to talk about this any more.",
            "You make this sound dull.",
            "I do not want to hear more of this.",
            "It is hard to talk with you.",
        ),
    ),
    "informativeness": Remarks(
        (
            "I learned something new, thank you.",
            "That is very helpful.",
            "Now I know what to do.",
            "Thanks for all the details.",
            "That tells me everything I need.",
            "What a thorough answer.",
            "Good, now it is clear to me.",
            "That was useful information.",
            "I had no idea about this, thank you.",
            "You explained it well.",
        ),
        (
            "I learned nothing from this.",
            "That is not helpful.",
            "I still do not know what to do.",
            "You left out all the details.",
            "That tells me nothing.",
            "What a shallow answer.",
            "It is still not clear to me.",
            "That was useless information.",
            "I knew all of this before.",
            "You did not explain it.",
        ),
    ),
    "following": Remarks(
        (
            "You did exactly what I asked for.",
            "Thank you for sticking to my instructions.",
            "That is in the form that I wanted.",
            "Perfect, you followed every step.",
            "You respected all my wishes.",
            "Just as I told you, well done.",
            "Great, that is how I wanted it done.",
            "You did everything that I asked.",
            "Good, nothing of my request is missing.",
            "That is just the answer I asked you to give.",
        ),
        (
            "You did not do what I asked for.",
            "Please stick to my instructions.",
            "That is not in the form that I wanted.",
            "No, you did not follow the steps.",
            "You ignored my wishes.",
            "That is not what I told you to do.",
            "No, that is not how I wanted it done.",
            "You did only half of what I asked.",
            "Part of my request is missing.",
            "I asked you to give a different kind of answer.",
        ),
    ),
}
